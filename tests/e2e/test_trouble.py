"""A worker and a Redis that is full, gone, or thinks that the worker is dead."""

import signal
import subprocess
import time
from pathlib import Path
from typing import cast

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from protocol import keys
from protocol.job_store import JobStore
from protocol.messages import SamplerSpec
from protocol.registry import Registry
from protocol.shard_queue import OUTSTANDING, SHARD_IMAGES
from protocol.states import JobState
from tests.conftest import RedisServer, Workers, until
from tests.jobs import DDPM_50, record, submit
from worker.__main__ import EXIT_FAULT, EXIT_REDIS
from worker.leases import LEASE_S

LONG = SamplerSpec(name="ddpm", steps=1000, variance="fixed_small", clip=1.0)
PATIENCE_S = 120.0
SUPERVISORS_WAIT_S = 15.0  # beyond the grace, as docs/operations.md has it; then it kills


def _succeeds(redis: Redis, job_id: str) -> None:
    until(lambda: record(redis, job_id).status.done, timeout_s=PATIENCE_S)
    assert record(redis, job_id).status is JobState.SUCCEEDED


def test_a_full_redis_is_waited_out_by_the_same_process(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    """Its claims, commits and heartbeats are refused, some of them in a transaction."""
    process = workers.start(tiny_model)
    job_id = submit(redis, n=8, sampler=LONG)
    until(lambda: record(redis, job_id).first_step_at)
    beats = _good_until(redis)
    redis.config_set("maxmemory", "1")
    refused = int(redis.info("stats")["total_error_replies"])
    until(lambda: int(redis.info("stats")["total_error_replies"]) > refused + 3)
    redis.config_set("maxmemory", "0")
    _succeeds(redis, job_id)
    until(lambda: workers.info(process))
    assert _good_until(redis) > beats, "it still speaks"
    after = submit(redis)
    _succeeds(redis, after)


def test_a_running_job_can_be_canceled_while_redis_is_full(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    """Its worker hears of it, though its heartbeats are refused."""
    workers.start(tiny_model)
    canceled, kept = (submit(redis, n=32, sampler=LONG) for _ in range(2))
    until(lambda: record(redis, canceled).first_step_at and record(redis, kept).first_step_at)
    redis.config_set("maxmemory", "1")
    assert JobStore(redis).cancel(canceled) is JobState.RUNNING
    until(lambda: record(redis, canceled).status is JobState.CANCELED)
    redis.config_set("maxmemory", "0")
    _succeeds(redis, kept)


def _good_until(redis: Redis) -> float:
    """The latest heartbeat's."""
    latest = redis.zrange(keys.workers(), -1, -1, withscores=True)
    return cast(list[tuple[bytes, float]], latest)[0][1]


def test_a_worker_that_was_frozen_and_is_given_its_own_shard_again_ends_it(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    """What `rq info` would do to the lease meanwhile is done here."""
    process = workers.start(tiny_model)
    job_id = submit(redis, n=4, sampler=LONG)
    until(lambda: record(redis, job_id).first_step_at)
    process.send_signal(signal.SIGSTOP)
    queue = Queue("tiny.normal", connection=redis, serializer=JSONSerializer)
    registry = queue.started_job_registry.key
    until(lambda: _lapsed(redis, registry), timeout_s=LEASE_S + 5)
    queue.started_job_registry.cleanup()
    assert redis.llen(queue.key) == 1
    process.send_signal(signal.SIGCONT)
    _succeeds(redis, job_id)
    assert record(redis, job_id).attempts == 2


def _lapsed(redis: Redis, registry: str) -> bool:
    return bool(redis.zcount(registry, 0, time.time()))


def test_a_redis_that_has_no_room_for_a_worker_is_named_and_left(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    redis.config_set("maxmemory", "1")
    process = workers.launch(tiny_model, {}, stderr=subprocess.PIPE)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_REDIS
    assert b"cannot start while Redis is in trouble: " in stderr
    assert b"Traceback" not in stderr


def test_sigterm_is_heard_without_a_redis(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> None:
    """What it has not stored by the end of its grace is drawn again elsewhere."""
    process = workers.start(tiny_model, WORKER_GRACE_S="0.5")
    with redis_server.client() as redis:
        job_id = submit(redis, n=32, sampler=LONG)
        until(lambda: record(redis, job_id).first_step_at)
        redis_server.kill()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        redis_server.start()
        workers.start(tiny_model)
        _succeeds(redis, job_id)


def test_images_that_wait_for_a_redis_that_is_away_keep_no_process_alive(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> None:
    grace_s, jobs = 5, 4
    with redis_server.client() as redis:
        job_ids = [
            submit(redis, n=OUTSTANDING * SHARD_IMAGES, sampler=DDPM_50) for _ in range(jobs)
        ]
        process = workers.start(tiny_model, WORKER_GRACE_S=str(grace_s))
        until(lambda: sum(redis.hlen(keys.epochs(id_)) for id_ in job_ids) == jobs * OUTSTANDING)
    redis_server.kill()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=grace_s + SUPERVISORS_WAIT_S) == 0


def test_a_loop_that_breaks_is_a_fault_and_what_ran_goes_back_uncounted(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    job_id = submit(redis, n=32, sampler=LONG)
    until(lambda: record(redis, job_id).first_step_at)
    redis.set(keys.wake("tiny"), "of another type than a list")
    assert process.wait(timeout=30) == EXIT_FAULT
    assert Registry(redis).start_fault() is None
    redis.delete(keys.wake("tiny"))
    workers.start(tiny_model)
    _succeeds(redis, job_id)
    assert record(redis, job_id).attempts == 1
    assert redis.hget(keys.epochs(job_id), "crashes:0") is None
