"""A full Redis takes no more work, and lets go of what it has."""

import pytest
from redis import Redis
from redis.exceptions import RedisError

from protocol import keys
from protocol.job_store import Begun, JobStore
from protocol.shard_queue import SHARD_IMAGES
from protocol.states import JobState
from protocol.trouble import Trouble, trouble_of
from tests.jobs import record, submit
from tests.protocol.test_job_store import begin, begun, commit

N = 2 * SHARD_IMAGES


@pytest.fixture
def store(redis: Redis) -> JobStore:
    return JobStore(redis)


@pytest.fixture
def held(redis: Redis, store: JobStore) -> Begun:
    """The first shard of a running job; Redis has no room from here on."""
    held = begun(store, submit(redis, n=N, timeout_s=3600))
    redis.config_set("maxmemory", "1")
    return held


def test_a_running_job_is_canceled_where_there_is_no_room(
    redis: Redis, store: JobStore, held: Begun
) -> None:
    assert store.cancel(held.job_id) is JobState.RUNNING
    assert store.report_steps(held, 5) is JobState.CANCELING
    store.leave_shard(held)
    assert record(redis, held.job_id).status is JobState.CANCELED
    assert not redis.hgetall(keys.queued()), "what it would have taken is free"


def test_a_running_job_is_deleted_where_there_is_no_room(
    store: JobStore, redis: Redis, held: Begun
) -> None:
    assert store.delete(held.job_id) is JobState.RUNNING
    assert store.get(held.job_id) is None
    assert not redis.hgetall(keys.queued())


def test_a_deadline_is_kept_where_there_is_no_room(
    redis: Redis, store: JobStore, held: Begun
) -> None:
    redis.config_set("maxmemory", "0")
    redis.hset(keys.job(held.job_id), "started_at", "1.0")
    redis.config_set("maxmemory", "1")
    assert store.report_steps(held, 5) is JobState.FAILED
    error = record(redis, held.job_id).error
    assert error is not None
    assert error.code == "deadline_exceeded"


def test_a_shard_is_given_back_where_there_is_no_room(
    redis: Redis, store: JobStore, held: Begun
) -> None:
    store.leave_shard(held, given_back=True)
    assert not redis.exists(keys.leases(held.job_id))
    redis.config_set("maxmemory", "0")
    begun(store, held.job_id)
    assert record(redis, held.job_id).attempts == 1


def test_nothing_more_is_taken_where_there_is_no_room(
    redis: Redis, store: JobStore, held: Begun
) -> None:
    for more in (
        lambda: submit(redis),
        lambda: begin(store, held.job_id, 1),
        lambda: commit(store, held, 0),
    ):
        with pytest.raises(RedisError) as refused:
            more()
        assert trouble_of(refused.value) is Trouble.FULL
    assert record(redis, held.job_id).images_done == 0
