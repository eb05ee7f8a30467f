"""The scripts on a real server: every move of a job, and that none happens twice."""

import itertools
import uuid

import pytest
from redis import Redis

from protocol import keys
from protocol.job_intake import JobIntake
from protocol.job_record import DEFAULT_TENANT, NewJob
from protocol.job_store import Begun, Commit, JobStore, Lost, NotBegun
from protocol.messages import ImageManifest, JobError
from protocol.shard_queue import OUTSTANDING, SHARD_IMAGES, ShardQueue, shards_of, slots_of
from protocol.states import MOVES, JobState
from tests.jobs import events, record, request, submit

ERROR = JobError(code="worker_lost", title="Worker lost", detail="as often as is allowed")


def begin(
    store: JobStore, job_id: str, shard: int = 0, *, engine: str = "e1", alone: bool = False
) -> Begun | NotBegun:
    return store.begin_shard(
        job_id, shard, run=uuid.uuid4().hex, engine=engine, model_sha256="m1", alone=alone
    )


def begun(store: JobStore, job_id: str, shard: int = 0) -> Begun:
    held = begin(store, job_id, shard)
    assert isinstance(held, Begun)
    return held


def manifest(index: int) -> ImageManifest:
    return ImageManifest(index=index, pixels_sha256=f"{index:064x}", bytes=9, width=8, height=8)


def commit(store: JobStore, held: Begun, index: int) -> Commit:
    return store.commit_image(held, manifest(index), steps_in_flight=0)


@pytest.fixture
def store(redis: Redis) -> JobStore:
    return JobStore(redis)


def test_a_submitted_job_is_queued_and_waits_in_line(store: JobStore, redis: Redis) -> None:
    first, second = submit(redis), submit(redis)
    job = record(redis, first)
    assert (job.status, job.images_done, job.attempts) == (JobState.QUEUED, 0, 0)
    assert job.request == request()
    assert (job.engine, job.started_at, job.finished_at, job.error) == (None, None, None, None)
    assert store.queue_position(first, "tiny") == 0
    assert store.queue_position(second, "tiny") == 1


def test_a_failed_transaction_leaves_nothing(redis: Redis) -> None:
    def refuse(pipe: object) -> None:
        raise RuntimeError("cut")

    before = set(redis.keys())
    with pytest.raises(RuntimeError, match="cut"):
        JobIntake(redis).submit(
            NewJob("job_" + "0" * 32, request(), model_sha256="", created_at=0.0), enqueue=refuse
        )
    assert set(redis.keys()) == before


def test_the_first_claim_starts_the_job_and_pins_its_engine(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    held = begun(store, job_id)
    job = record(redis, job_id)
    assert held.request == request()
    assert (job.status, job.engine, job.model_sha256, job.attempts) == ("running", "e1", "m1", 1)
    assert store.queue_position(job_id, "tiny") is None


def test_a_job_pinned_at_its_submission_records_the_weights_it_is_made_with(
    store: JobStore, redis: Redis
) -> None:
    job = NewJob(f"job_{1:032x}", request(), model_sha256="newer", created_at=0.0, engine="e1")
    JobIntake(redis).submit(job, enqueue=lambda pipe: None)
    begun(store, job.id)
    pinned = record(redis, job.id)
    assert (pinned.engine, pinned.model_sha256) == ("e1", "m1")


def test_another_engine_is_turned_away_while_the_first_lives(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    begun(store, job_id)
    redis.set(keys.engine("e1"), "w")
    assert begin(store, job_id, engine="e2") is NotBegun.ELSEWHERE
    redis.delete(keys.engine("e1"))
    assert isinstance(begin(store, job_id, engine="e2"), Begun)
    assert record(redis, job_id).engine == "e2"


def test_the_last_image_ends_the_job(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=2)
    held = begun(store, job_id)
    assert commit(store, held, 0) is Commit.COMMITTED
    assert record(redis, job_id).status is JobState.RUNNING
    assert commit(store, held, 1) is Commit.COMMITTED
    job = record(redis, job_id)
    assert job.status is JobState.SUCCEEDED
    assert job.finished_at is not None
    assert job.expires_at == pytest.approx(job.finished_at + 3600, abs=1e-3)
    assert events(redis, job_id) == ["running", "image", "image", "done"]


def test_an_image_counts_once(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=3)
    held = begun(store, job_id)
    assert commit(store, held, 1) is Commit.COMMITTED
    assert commit(store, held, 1) is Commit.DUPLICATE
    assert record(redis, job_id).images_done == 1


def test_a_worker_thought_dead_is_fenced_off(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    zombie, successor = begun(store, job_id), begun(store, job_id)
    assert commit(store, zombie, 0) is Commit.FENCED
    assert store.report_steps(zombie, 5) is Lost.FENCED
    store.fail_job(job_id, 0, ERROR, epoch=zombie.epoch)
    assert record(redis, job_id).status is JobState.RUNNING
    assert commit(store, successor, 0) is Commit.COMMITTED
    assert record(redis, job_id).attempts == 2


def test_work_given_back_counts_as_no_attempt(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    for _ in range(3):
        store.leave_shard(begun(store, job_id), given_back=True)
    begun(store, job_id)
    assert record(redis, job_id).attempts == 1


def test_a_queued_job_is_canceled_at_once(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    assert store.cancel(job_id) is JobState.QUEUED
    assert record(redis, job_id).status is JobState.CANCELED
    assert store.queue_position(job_id, "tiny") is None
    assert begin(store, job_id) is NotBegun.CLOSED


def test_a_running_job_is_canceled_when_its_last_shard_has_left(
    store: JobStore, redis: Redis
) -> None:
    job_id = submit(redis, n=2 * SHARD_IMAGES)
    shards = [begun(store, job_id, shard) for shard in (0, 1)]
    commit(store, shards[0], 0)
    assert store.cancel(job_id) is JobState.RUNNING
    assert commit(store, shards[1], SHARD_IMAGES) is Commit.CLOSED
    store.leave_shard(shards[0])
    assert record(redis, job_id).status is JobState.CANCELING
    store.leave_shard(shards[1])
    assert record(redis, job_id).status is JobState.CANCELED
    assert list(store.manifests(job_id, range(64))) == [0], "finished images stay"


def test_a_canceling_job_whose_worker_died_ends_with_the_next_claim(
    store: JobStore, redis: Redis
) -> None:
    job_id = submit(redis)
    begun(store, job_id)
    store.cancel(job_id)
    assert begin(store, job_id) is NotBegun.CLOSED
    assert record(redis, job_id).status is JobState.CANCELED


def test_nothing_moves_a_job_that_has_ended(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    held = begun(store, job_id)
    commit(store, held, 0)
    ended = record(redis, job_id)
    store.fail_job(job_id, 0, ERROR)
    store.cancel(job_id)
    store.leave_shard(held)
    assert commit(store, held, 0) is Commit.CLOSED
    assert record(redis, job_id) == ended
    assert events(redis, job_id).count("done") == 1


def test_a_failed_job_says_why_and_closes(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    held = begun(store, job_id)
    store.fail_job(job_id, 0, ERROR, epoch=held.epoch)
    job = record(redis, job_id)
    assert (job.status, job.error) == (JobState.FAILED, ERROR)
    assert commit(store, held, 0) is Commit.CLOSED


def test_steps_in_flight_are_those_of_leased_shards(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=2 * SHARD_IMAGES)
    shards = [begun(store, job_id, shard) for shard in (0, 1)]
    assert store.report_steps(shards[0], 30) is JobState.RUNNING
    store.commit_image(shards[1], manifest(SHARD_IMAGES), steps_in_flight=12)
    assert store.steps_in_flight(job_id) == 42
    store.leave_shard(shards[0])
    assert store.steps_in_flight(job_id) == 12


def test_an_overdue_job_fails_at_the_next_report(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, timeout_s=5)
    held = begun(store, job_id)
    assert store.report_steps(held, 1) is JobState.RUNNING
    redis.hincrbyfloat(keys.job(job_id), "started_at", -6)
    assert store.report_steps(held, 2) is JobState.FAILED
    error = record(redis, job_id).error
    assert error is not None
    assert error.code == "deadline_exceeded"


def test_everything_a_finished_job_left_will_expire(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    redis.hset(keys.png_prefix(job_id) + "0", "0", b"png")
    redis.hset(keys.sources(job_id), "image", b"pixels")
    commit(store, begun(store, job_id), 0)
    left = redis.keys(f"{keys.PREFIX}:*{job_id}*")
    assert len(left) >= 5
    assert all(redis.ttl(key) > 0 for key in left)
    assert redis.ttl(keys.images(job_id)) <= 3600 < redis.ttl(keys.job(job_id))
    assert redis.ttl(keys.tombstone(job_id)) > redis.ttl(keys.job(job_id))
    assert store.is_gone(job_id, tenant=DEFAULT_TENANT)
    assert not store.is_gone(job_id, tenant="another")


def test_only_some_shards_of_a_large_job_are_enqueued(redis: Redis) -> None:
    submit(redis, n=100_000)
    assert redis.llen("rq:queue:tiny.normal") == OUTSTANDING


def test_a_finished_shard_brings_its_successor_once(redis: Redis) -> None:
    n = 6 * SHARD_IMAGES
    job_id = submit(redis, n=n)
    queue = ShardQueue(redis, "tiny", request().priority)
    for _ in range(3):
        queue.enqueue_after(job_id, 1, n)
    assert redis.llen("rq:queue:tiny.normal") == OUTSTANDING + 1
    queue.enqueue_after(job_id, 2, n)
    assert redis.llen("rq:queue:tiny.normal") == OUTSTANDING + 1, "there is no seventh shard"


@pytest.mark.parametrize("n", [1, SHARD_IMAGES, SHARD_IMAGES + 1, 1000])
def test_shards_cover_a_job_exactly(n: int) -> None:
    slots = itertools.chain.from_iterable(slots_of(shard, n) for shard in range(shards_of(n)))
    assert list(slots) == list(range(n))


def test_every_state_is_either_done_or_leads_on() -> None:
    done = {state for state in JobState if state.done}
    assert done == {"succeeded", "failed", "canceled", "expired"}
    assert set(MOVES) == set(JobState)
