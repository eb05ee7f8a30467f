"""A job is deleted at any point of its life: nothing of it stays, whatever is still said of it."""

import time
from collections.abc import Callable
from typing import cast

import pytest
from redis import Redis

from protocol import keys
from protocol.image_store import RedisImageStore
from protocol.job_record import DEFAULT_TENANT
from protocol.job_store import Begun, Commit, JobStore, Lost, NotBegun
from protocol.messages import JobError
from protocol.preview_store import PreviewStore
from protocol.shard_queue import SHARD_IMAGES, ShardQueue
from protocol.states import JobState
from tests.jobs import events, record, request, submit
from tests.protocol.test_job_store import begin, begun, commit

ERROR = JobError(code="worker_lost", title="Worker lost", detail="")
N = 4 * SHARD_IMAGES


def left(redis: Redis) -> set[str]:
    """Every key but what belongs to no job, and RQ's names of its queues."""
    common = {keys.events(), keys.wake("tiny"), "rq:queues"}
    return {key.decode() for key in cast(list[bytes], redis.keys("*"))} - common


def withdraw(redis: Redis, job_id: str) -> None:
    ShardQueue(redis, "tiny", request().priority).withdraw(job_id, N)


@pytest.fixture
def store(redis: Redis) -> JobStore:
    return JobStore(redis)


def queued(redis: Redis) -> tuple[str, JobState]:
    return submit(redis, n=N), JobState.QUEUED


def running(redis: Redis) -> tuple[str, JobState]:
    job_id, store = submit(redis, n=N), JobStore(redis)
    held = begun(store, job_id)
    store.first_step(held, 1.0)
    RedisImageStore(redis).put(held, 0, b"png")
    commit(store, held, 0)
    store.report_steps(held, 5)
    previews = PreviewStore(redis)
    previews.watch(job_id)
    previews.put(job_id, 0, b"png")
    redis.hset(keys.sources(job_id), "image", b"pixels")
    return job_id, JobState.RUNNING


def canceling(redis: Redis) -> tuple[str, JobState]:
    job_id, _ = running(redis)
    JobStore(redis).cancel(job_id)
    return job_id, JobState.CANCELING


def finished(redis: Redis) -> tuple[str, JobState]:
    job_id, store = submit(redis, n=N), JobStore(redis)
    for shard in range(4):
        held = begun(store, job_id, shard)
        for slot in range(shard * SHARD_IMAGES, (shard + 1) * SHARD_IMAGES):
            RedisImageStore(redis).put(held, slot, b"png")
            commit(store, held, slot)
        store.leave_shard(held)
    return job_id, JobState.SUCCEEDED


@pytest.mark.parametrize("life", [queued, running, canceling, finished], ids=lambda f: f.__name__)
def test_nothing_of_it_stays(
    store: JobStore, redis: Redis, life: Callable[[Redis], tuple[str, JobState]]
) -> None:
    job_id, status = life(redis)
    assert store.delete(job_id) is status
    withdraw(redis, job_id)
    assert left(redis) == set()
    assert store.get(job_id) is None
    assert not store.is_gone(job_id, tenant=DEFAULT_TENANT)
    assert store.delete(job_id) is None
    assert events(redis, job_id).count("done") == 1, "who waits for it is told, once"


def test_a_neighbour_stays_as_it_is(store: JobStore, redis: Redis) -> None:
    neighbour = submit(redis)
    job_id, _ = running(redis)
    before = record(redis, neighbour)
    store.delete(job_id)
    withdraw(redis, job_id)
    assert record(redis, neighbour) == before
    assert store.queue_position(neighbour, "tiny") == 0
    assert redis.lrange("rq:queue:tiny.normal", 0, -1) == [f"{neighbour}-0".encode()]
    assert redis.zrange(keys.jobs(DEFAULT_TENANT), 0, -1) == [neighbour.encode()]


def commits(store: JobStore, held: Begun) -> None:
    assert commit(store, held, 1) is Commit.CLOSED


def reports(store: JobStore, held: Begun) -> None:
    assert store.report_steps(held, 9) is Lost.GONE


def fails(store: JobStore, held: Begun) -> None:
    store.fail_job(held.job_id, held.shard, ERROR, epoch=held.epoch)


def is_given_up(store: JobStore, held: Begun) -> None:
    store.fail_job(held.job_id, held.shard, ERROR)


def leaves(store: JobStore, held: Begun) -> None:
    store.leave_shard(held, given_back=True)


def steps(store: JobStore, held: Begun) -> None:
    store.first_step(held, 1.0)


def begins(store: JobStore, held: Begun) -> None:
    assert begin(store, held.job_id, 1) is NotBegun.CLOSED


def stores(store: JobStore, held: Begun) -> None:
    RedisImageStore(store.redis).put(held, 1, b"png")


def cancels(store: JobStore, held: Begun) -> None:
    assert store.cancel(held.job_id) is None


@pytest.mark.parametrize(
    "late",
    [commits, reports, fails, is_given_up, leaves, steps, begins, stores, cancels],
    ids=lambda f: f.__name__,
)
def test_whoever_speaks_late_leaves_nothing_behind(
    store: JobStore, redis: Redis, late: Callable[[JobStore, Begun], None]
) -> None:
    job_id = submit(redis, n=N)
    held = begun(store, job_id)
    store.delete(job_id)
    withdraw(redis, job_id)
    late(store, held)
    assert left(redis) == set()
    assert events(redis, job_id)[-1] == "done"


def test_a_preview_drawn_late_is_gone_in_seconds(store: JobStore, redis: Redis) -> None:
    job_id, _ = running(redis)
    store.delete(job_id)
    PreviewStore(redis).put(job_id, 0, b"png")
    assert 0 < redis.ttl(keys.previews(job_id)) <= 10


def test_a_file_that_comes_after_the_end_is_not_kept_for_ever(
    store: JobStore, redis: Redis
) -> None:
    job_id = submit(redis, n=N)
    held = begun(store, job_id)
    store.fail_job(job_id, 0, ERROR, epoch=held.epoch)
    RedisImageStore(redis).put(held, 1, b"png")
    assert not redis.exists(keys.png_prefix(job_id) + "0")


def test_what_a_worker_has_begun_is_left_to_it(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=N)
    redis.hset(f"rq:job:{job_id}-0", "status", "started")
    store.delete(job_id)
    withdraw(redis, job_id)
    assert redis.exists(f"rq:job:{job_id}-0")
    assert redis.lrange("rq:queue:tiny.normal", 0, -1) == [f"{job_id}-0".encode()]


def test_the_list_forgets_what_has_expired_when_other_jobs_end(
    store: JobStore, redis: Redis
) -> None:
    old = [submit(redis, n=1) for _ in range(3)]
    for job_id in old:
        commit(store, begun(store, job_id), 0)
        redis.delete(keys.job(job_id))  # as if its days were over
        redis.zadd(keys.expiring(), {f"{job_id}:{DEFAULT_TENANT}": 1.0})
    young = submit(redis, n=1)
    commit(store, begun(store, young), 0)
    assert redis.zrange(keys.jobs(DEFAULT_TENANT), 0, -1) == [young.encode()]
    assert redis.zrange(keys.expiring(), 0, -1) == [f"{young}:{DEFAULT_TENANT}".encode()]


def test_a_line_is_due_when_its_record_goes(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    commit(store, begun(store, job_id), 0)
    due = redis.zscore(keys.expiring(), f"{job_id}:{DEFAULT_TENANT}")
    assert due == pytest.approx(time.time() + redis.ttl(keys.job(job_id)), abs=2)


def test_a_finished_job_can_be_deleted_from_a_full_redis(store: JobStore, redis: Redis) -> None:
    job_id, _ = finished(redis)
    redis.config_set("maxmemory", "1")
    store.delete(job_id)
    redis.config_set("maxmemory", "0")
    assert store.get(job_id) is None
