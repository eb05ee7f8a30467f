"""Whichever way a job ends, and whatever is still said about it then, all its keys expire."""

from collections.abc import Callable
from typing import cast

import pytest
from redis import Redis

from protocol import keys
from protocol.image_store import RedisImageStore
from protocol.job_store import Begun, JobStore
from protocol.messages import JobError
from protocol.states import JobState
from tests.jobs import record, submit
from tests.protocol.test_job_store import begun, commit

ERROR = JobError(code="worker_lost", title="Worker lost", detail="")
N = 150  # two buckets of files


def succeeds(redis: Redis, job_id: str) -> None:
    store = JobStore(redis)
    held = begun(store, job_id)
    for index in range(N):
        RedisImageStore(redis).put(held, index, b"png")
        commit(store, held, index)


def fails(redis: Redis, job_id: str) -> None:
    JobStore(redis).fail_job(job_id, 0, ERROR)


def is_overdue(redis: Redis, job_id: str) -> None:
    held = begun(JobStore(redis), job_id)
    redis.hincrbyfloat(keys.job(job_id), "started_at", -60)
    JobStore(redis).report_steps(held, 1)


def crashes_alone(redis: Redis, job_id: str) -> None:
    store = JobStore(redis)
    for _ in range(4):
        held = store.begin_shard(job_id, 0, run="r", engine="e", model_sha256="m", alone=True)
        store.crash_shard(held, ERROR)  # type: ignore[arg-type]


def is_canceled_before_it_began(redis: Redis, job_id: str) -> None:
    JobStore(redis).cancel(job_id)


def is_canceled_while_it_runs(redis: Redis, job_id: str) -> None:
    held = begun(JobStore(redis), job_id)
    JobStore(redis).cancel(job_id)
    JobStore(redis).leave_shard(held)


ENDS: dict[Callable[[Redis, str], None], JobState] = {
    succeeds: JobState.SUCCEEDED,
    fails: JobState.FAILED,
    is_overdue: JobState.FAILED,
    crashes_alone: JobState.FAILED,
    is_canceled_before_it_began: JobState.CANCELED,
    is_canceled_while_it_runs: JobState.CANCELED,
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_key_of_a_job_that_has_ended_expires(
    redis: Redis, end: Callable[[Redis, str], None]
) -> None:
    job_id = submit(redis, n=N, timeout_s=30)
    store, images = JobStore(redis), RedisImageStore(redis)
    holder = begun(store, job_id, shard=1)
    images.put(holder, 40, b"png")
    redis.hset(keys.sources(job_id), "image", b"pixels")
    store.leave_shard(holder)
    late = begun(store, job_id, shard=2)
    store.leave_shard(late, given_back=True)
    end(redis, job_id)
    assert record(redis, job_id).status is ENDS[end]
    _say_too_late(redis, job_id, late)
    left = cast(list[bytes], redis.keys(f"{keys.PREFIX}:*{job_id}*"))
    assert len(left) >= 5
    assert [key for key in left if redis.ttl(key) <= 0] == []


def _say_too_late(redis: Redis, job_id: str, holder: Begun) -> None:
    """What a worker may still be about to write."""
    store = JobStore(redis)
    held = store.begin_shard(job_id, 3, run="late", engine="e", model_sha256="m")
    assert held == "closed"
    RedisImageStore(redis).put(holder, 90, b"png")


def test_what_is_said_of_a_job_long_gone_leaves_nothing(redis: Redis) -> None:
    job_id = submit(redis, n=N)
    store = JobStore(redis)
    held = begun(store, job_id)
    for key in redis.keys(f"{keys.PREFIX}:*{job_id}*"):
        redis.delete(key)
    RedisImageStore(redis).put(held, 0, b"png")
    store.first_step(held, 1.0)
    commit(store, held, 0)
    store.report_steps(held, 3)
    store.crash_shard(held, ERROR)
    store.leave_shard(held, given_back=True)
    store.fail_job(job_id, 0, ERROR)
    assert redis.keys(f"{keys.PREFIX}:*{job_id}*") == []
