"""What RQ says of failures and ends is passed on once, and forgotten in time; what nobody claims
goes back to its queue."""

import time
from collections.abc import Callable

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.job_lifecycle import record_job_failure
from rq.serializers import JSONSerializer

from protocol import keys
from protocol.job_store import JobStore
from protocol.messages import Priority
from protocol.shard_queue import queue_name, queue_names, rq_job_id
from protocol.states import JobState
from tests.conftest import until
from tests.jobs import record, submit
from worker import reaper
from worker.reaper import AT_MOST, INTERNAL, Reaper

LOCK = keys.reaper_lock("tiny")
QUEUE, TAKEN = "rq:queue:tiny.normal", "rq:queue:tiny.normal:intermediate"
AN_HOUR_AGO, SOON = time.time() - 3600, time.time() + 1800


@pytest.fixture
def rounds(redis: Redis) -> Callable[[int], int]:
    """So many rounds of one reaper, whose turn it always is; how many scripts they ran."""
    queues = [Queue(n, connection=redis, serializer=JSONSerializer) for n in queue_names("tiny")]
    ours = Reaper(redis, JobStore(redis), queues, model="tiny")
    JobStore(redis).fail_job("job_0", 0, INTERNAL)  # from now on Redis knows the script

    def run(times: int) -> int:
        redis.config_resetstat()
        for _ in range(times):
            redis.delete(LOCK)
            ours.run()
        stats = redis.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])

    return run


def failures(redis: Redis, count: int, *, until_s: float, priority: str = "normal") -> None:
    """So many of jobs that nobody knows any more, which RQ lists until then."""
    members = {f"job_{number:032x}-0": until_s for number in range(count)}
    redis.zadd(f"rq:failed:tiny.{priority}", members)


def fail(redis: Redis, job_id: str, priority: Priority = Priority.NORMAL) -> None:
    """As RQ does it where it gives a shard up."""
    queue = Queue(queue_name("tiny", priority), connection=redis, serializer=JSONSerializer)
    job = Job.fetch(rq_job_id(job_id, 0), redis, serializer=JSONSerializer)
    with redis.pipeline() as pipe:
        record_job_failure(job, "Traceback", pipe)
        queue.remove(job, pipe)
        pipe.execute()


def test_a_failure_is_passed_on_whatever_lies_before_it(
    redis: Redis, rounds: Callable[[int], int]
) -> None:
    failures(redis, AT_MOST, until_s=AN_HOUR_AGO)
    failures(redis, 2 * AT_MOST, until_s=SOON)
    job_id = submit(redis)
    fail(redis, job_id)
    rounds(1)
    assert record(redis, job_id).status is JobState.FAILED


def test_failures_of_several_queues_are_each_passed_on_once(
    redis: Redis, rounds: Callable[[int], int]
) -> None:
    for priority in Priority:
        fail(redis, submit(redis, priority=priority), priority)
        failures(redis, 5, until_s=SOON, priority=priority)
    assert rounds(1) == 3 * 6
    assert rounds(2) == 0, "nothing new"
    failed = submit(redis)
    fail(redis, failed)
    assert rounds(1) == 1
    assert record(redis, failed).status is JobState.FAILED


def test_more_failures_than_a_round_passes_on_are_left_to_the_next(
    redis: Redis, rounds: Callable[[int], int]
) -> None:
    failures(redis, AT_MOST + 1, until_s=SOON)
    assert [rounds(1), rounds(1), rounds(1)] == [AT_MOST, 1, 0]


@pytest.mark.parametrize("registry", ["finished", "failed"])
def test_rq_lists_no_shard_for_longer_than_it_keeps_its_record(
    redis: Redis, rounds: Callable[[int], int], registry: str
) -> None:
    for priority in Priority:
        ends = {"job_1-0": AN_HOUR_AGO, "job_2-0": SOON}
        redis.zadd(f"rq:{registry}:tiny.{priority}", ends)
    rounds(1)
    for priority in Priority:
        assert redis.zrange(f"rq:{registry}:tiny.{priority}", 0, -1) == [b"job_2-0"]


def test_a_failure_of_no_shard_of_ours_stops_no_round(
    redis: Redis, rounds: Callable[[int], int]
) -> None:
    job_id = submit(redis)
    fail(redis, job_id)
    redis.zadd("rq:failed:tiny.normal", {f"{job_id}-²": SOON, "of another": SOON})
    rounds(1)
    assert record(redis, job_id).status is JobState.FAILED


@pytest.fixture
def others_round(redis: Redis) -> Callable[[], int]:
    """A round of a reaper that has had none before; how much is queued after it."""
    queues = [Queue(n, connection=redis, serializer=JSONSerializer) for n in queue_names("tiny")]

    def run() -> int:
        redis.delete(LOCK)
        Reaper(redis, JobStore(redis), queues, model="tiny").run()
        return redis.llen(QUEUE)

    return run


def taken(redis: Redis, job_id: str) -> bytes:
    """As by a worker that died before its claim; the entry where it lies."""
    redis.lmove(QUEUE, TAKEN, "LEFT", "RIGHT")
    return rq_job_id(job_id, 0).encode()


def test_what_was_taken_and_not_claimed_goes_back_whoever_has_the_next_round(
    redis: Redis, others_round: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = taken(redis, submit(redis))
    others_round()
    others_round()
    assert redis.lrange(TAKEN, 0, -1) == [entry], "its claim may be on its way"
    monkeypatch.setattr(reaper, "ORPHAN_AFTER_S", 0.1)
    until(others_round, timeout_s=10)
    assert redis.lrange(QUEUE, 0, -1) == [entry]
    assert not redis.exists(TAKEN)


def test_what_was_claimed_in_between_is_new_when_it_is_taken_again(
    redis: Redis, others_round: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "ORPHAN_AFTER_S", 0.0)
    entry = taken(redis, submit(redis))
    others_round()
    redis.delete(TAKEN)
    others_round()
    redis.rpush(TAKEN, entry)
    others_round()
    assert redis.lrange(TAKEN, 0, -1) == [entry]
