"""What a crash counts for: little in company, a third alone, nothing once there is an image."""

import uuid

import pytest
from redis import Redis

from protocol import keys
from protocol.job_store import Begun, Commit, JobStore, NotBegun
from protocol.messages import JobError
from protocol.states import JobState
from tests.jobs import record, submit
from tests.protocol.test_job_store import commit

FAULT = JobError(code="engine_fault", title="Engine fault", detail="RuntimeError: device lost")


@pytest.fixture
def store(redis: Redis) -> JobStore:
    return JobStore(redis)


def begin(
    store: JobStore, job_id: str, *, alone: bool = False, run: str | None = None
) -> Begun | NotBegun:
    return store.begin_shard(
        job_id, 0, run=run or uuid.uuid4().hex, engine="e", model_sha256="m", alone=alone
    )


def begun(store: JobStore, job_id: str, *, alone: bool = False) -> Begun:
    held = begin(store, job_id, alone=alone)
    assert isinstance(held, Begun)
    return held


def test_one_lost_worker_says_nothing_about_what_it_ran(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    begun(store, job_id)
    begun(store, job_id)
    assert record(redis, job_id).attempts == 2


def test_what_two_workers_died_with_runs_alone(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    begun(store, job_id)
    begun(store, job_id)
    assert begin(store, job_id) is NotBegun.SUSPECT
    assert begin(store, job_id) is NotBegun.SUSPECT, "asking is no crash"
    begun(store, job_id, alone=True)


def test_three_workers_lost_to_it_alone_fail_it(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    for _ in range(2):
        begun(store, job_id)
    for _ in range(3):
        begun(store, job_id, alone=True)
    assert begin(store, job_id, alone=True) is NotBegun.CLOSED
    job = record(redis, job_id)
    assert job.status is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "worker_lost"


def test_a_step_that_raises_makes_a_suspect_at_once_and_three_alone_fail_it(
    store: JobStore, redis: Redis
) -> None:
    job_id = submit(redis)
    store.crash_shard(begun(store, job_id), FAULT)
    assert begin(store, job_id) is NotBegun.SUSPECT
    for _ in range(3):
        assert record(redis, job_id).status is JobState.RUNNING
        store.crash_shard(begun(store, job_id, alone=True), FAULT)
    assert (record(redis, job_id).status, record(redis, job_id).error) == (JobState.FAILED, FAULT)


def test_an_image_clears_the_account(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis, n=9)
    for index in range(9):
        for _ in range(2):
            store.crash_shard(begun(store, job_id, alone=True), FAULT)
        held = begun(store, job_id, alone=True)
        assert commit(store, held, index) is Commit.COMMITTED
        store.leave_shard(held)
    assert record(redis, job_id).status is JobState.SUCCEEDED


def test_a_crash_is_counted_once_however_often_it_is_told(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    held = begun(store, job_id)
    for _ in range(9):
        store.crash_shard(held, FAULT)
    assert record(redis, job_id).status is JobState.RUNNING
    assert redis.hget(keys.epochs(job_id), "crashes:0") == b"2"


def test_a_suspect_given_back_is_still_one_and_no_worse(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    store.crash_shard(begun(store, job_id), FAULT)
    for _ in range(9):
        store.leave_shard(begun(store, job_id, alone=True), given_back=True)
    assert begin(store, job_id) is NotBegun.SUSPECT


def test_a_begin_whose_answer_was_lost_may_be_repeated(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    first, again = begin(store, job_id, run="r"), begin(store, job_id, run="r")
    assert first == again
    assert record(redis, job_id).attempts == 1
    assert redis.hget(keys.epochs(job_id), "crashes:0") is None


def test_giving_back_twice_counts_once(store: JobStore, redis: Redis) -> None:
    job_id = submit(redis)
    held = begun(store, job_id)
    for _ in range(3):
        store.leave_shard(held, given_back=True)
    begun(store, job_id)
    store.leave_shard(begun(store, job_id))
    assert record(redis, job_id).attempts == 2
