"""What RQ has lost sight of goes on; what nobody needs is forgotten."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from protocol import keys
from protocol.job_store import Begun, JobStore
from protocol.messages import ImageManifest
from protocol.shard_queue import queue_names, rq_job_id
from tests.jobs import submit
from worker.janitor import BROUGHT_BACK, Janitor

QUEUE = "rq:queue:tiny.normal"


@pytest.fixture
def rounds(redis: Redis) -> Callable[[int], None]:
    """So many rounds, each of another worker's janitor, whose turn it is."""
    queues = [Queue(n, connection=redis, serializer=JSONSerializer) for n in queue_names("tiny")]

    def run(times: int) -> None:
        for _ in range(times):
            redis.delete(keys.janitor_lock("tiny"))
            Janitor(redis, JobStore(redis), queues, model="tiny").run()

    return run


def _is_started_by_nobody(redis: Redis, job_id: str) -> None:
    redis.delete(QUEUE)
    Job(rq_job_id(job_id, 0), connection=redis).set_status(JobStatus.STARTED)


def _is_finished_too_early(redis: Redis, job_id: str) -> None:
    redis.delete(QUEUE)
    Job(rq_job_id(job_id, 0), connection=redis).set_status(JobStatus.FINISHED)


def _is_forgotten(redis: Redis, job_id: str) -> None:
    redis.delete(QUEUE, *redis.keys(f"rq:job:{job_id}*"))


@pytest.mark.parametrize("lose", [_is_started_by_nobody, _is_finished_too_early, _is_forgotten])
def test_a_shard_that_rq_has_lost_is_enqueued_again(
    redis: Redis, rounds: Callable[[int], None], lose: Callable[[Redis, str], None]
) -> None:
    job_id = submit(redis, n=40)
    JobStore(redis).commit_image(_begun(redis, job_id), _manifest(0), steps_in_flight=0)
    lose(redis, job_id)
    rounds(1)
    assert redis.llen(QUEUE) == 0, "it may just be between two lists"
    rounds(1)
    assert redis.lrange(QUEUE, 0, -1) == [rq_job_id(job_id, k).encode() for k in (0, 1)]
    job = Job.fetch(rq_job_id(job_id, 0), redis, serializer=JSONSerializer)
    assert job.get_status() is JobStatus.QUEUED
    rounds(3)
    assert redis.llen(QUEUE) == 2


def test_a_large_job_is_brought_back_in_a_few_round_trips(
    redis: Redis, rounds: Callable[[int], None]
) -> None:
    job_id = submit(redis, n=32 * 300, first_index=7)
    made: dict[Any, Any] = {i: _manifest(i).model_dump_json() for i in range(7, 7 + 32 * 298)}
    redis.hset(keys.images(job_id), mapping=made)
    redis.delete(QUEUE)
    rounds(1)
    asked = int(redis.info("stats")["total_commands_processed"])
    rounds(1)
    assert int(redis.info("stats")["total_commands_processed"]) - asked < 100
    assert redis.lrange(QUEUE, 0, -1) == [rq_job_id(job_id, k).encode() for k in (298, 299)]


def test_of_many_lost_jobs_the_oldest_are_brought_back_first(
    redis: Redis, rounds: Callable[[int], None]
) -> None:
    lost = sorted(submit(redis, n=1) for _ in range(BROUGHT_BACK + 20))
    redis.delete(QUEUE)
    rounds(2)
    first = [rq_job_id(job_id, 0).encode() for job_id in lost[:BROUGHT_BACK]]
    assert redis.lrange(QUEUE, 0, -1) == first
    rounds(1)
    assert redis.llen(QUEUE) == len(lost)


def test_what_waits_or_has_ended_is_left_alone(redis: Redis, rounds: Callable[[int], None]) -> None:
    submit(redis)
    canceled = submit(redis)
    JobStore(redis).cancel(canceled)
    rounds(3)
    assert redis.llen(QUEUE) == 2
    assert redis.zcard(keys.unended("tiny")) == 1
    assert redis.keys("*unended:tiny") == [keys.unended("tiny").encode()]


def test_a_job_whose_record_is_gone_is_forgotten(
    redis: Redis, rounds: Callable[[int], None]
) -> None:
    job_id = submit(redis)
    redis.delete(QUEUE, keys.job(job_id))
    rounds(2)
    assert redis.zcard(keys.unended("tiny")) == 0
    assert redis.llen(QUEUE) == 0


def test_names_of_workers_long_dead_are_forgotten(
    redis: Redis, rounds: Callable[[int], None]
) -> None:
    redis.sadd("rq:workers", "rq:worker:dead")
    redis.sadd("rq:workers:tiny.high", "rq:worker:dead")
    redis.zadd(keys.workers(), {"dead": 1.0})
    redis.hset(keys.worker_infos(), "dead", "{}")
    rounds(1)
    assert not redis.exists("rq:workers", keys.workers(), keys.worker_infos())


def _begun(redis: Redis, job_id: str) -> Begun:
    held = JobStore(redis).begin_shard(job_id, 0, run="r", engine="e", model_sha256="m")
    assert isinstance(held, Begun)
    return held


def _manifest(index: int) -> ImageManifest:
    return ImageManifest(index=index, pixels_sha256="", bytes=1, width=8, height=8)
