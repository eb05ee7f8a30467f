"""Real workers on a real Redis: what the promises say, with real kills."""

import signal
from pathlib import Path

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from protocol.job_store import JobStore
from protocol.messages import SamplerSpec
from protocol.shard_queue import rq_job_id
from protocol.states import JobState
from tests.conftest import RedisServer, Workers, until
from tests.jobs import DDIM_20, DDPM_50, pixel_hashes, record, submit

LONG = SamplerSpec(name="ddpm", steps=1000, variance="fixed_small", clip=1.0)


def ends(redis: Redis, job_id: str, *, timeout_s: float = 120.0) -> JobState:
    until(lambda: record(redis, job_id).status.done, timeout_s=timeout_s)
    return record(redis, job_id).status


def test_a_job_becomes_images(redis: Redis, workers: Workers, tiny_model: Path) -> None:
    workers.start(tiny_model)
    job_id = submit(redis, n=5, first_index=7)
    assert ends(redis, job_id) is JobState.SUCCEEDED
    job = record(redis, job_id)
    assert sorted(pixel_hashes(redis, job_id)) == [7, 8, 9, 10, 11]
    assert job.images_done == 5
    assert job.attempts == 1
    assert job.engine
    assert job.first_step_at is not None
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


def test_a_job_of_many_shards_has_few_outstanding(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    job_id = submit(redis, n=300, sampler=DDIM_20)
    assert redis.llen("rq:queue:tiny.normal") == 4
    workers.start(tiny_model)
    assert ends(redis, job_id) is JobState.SUCCEEDED
    assert len(pixel_hashes(redis, job_id)) == 300


def test_two_jobs_of_different_samplers_share_a_batch(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    first = submit(redis, n=2, sampler=LONG)
    until(lambda: record(redis, first).first_step_at)
    second = submit(redis, n=3, sampler=DDIM_20)
    assert ends(redis, second) is JobState.SUCCEEDED
    assert not record(redis, first).status.done, "the long job should still be running"
    assert ends(redis, first) is JobState.SUCCEEDED
    counters = until(lambda: _counted(workers, process))
    assert counters["joined_running"] == 3
    assert counters["most_jobs_in_a_step"] == 2


def _counted(workers: Workers, process: object) -> dict[str, int] | None:
    info = workers.info(process)  # type: ignore[arg-type]
    return info.counters if info and info.counters.get("images", 0) >= 5 else None


def test_canceling_one_of_a_batch_leaves_the_others_pixels_alone(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    alone = submit(redis, n=2, seed=5, sampler=LONG)
    assert ends(redis, alone) is JobState.SUCCEEDED
    kept = submit(redis, n=2, seed=5, sampler=LONG)
    dropped = submit(redis, n=4, seed=6, sampler=LONG)
    until(lambda: record(redis, dropped).first_step_at)
    assert JobStore(redis).cancel(dropped) is JobState.RUNNING
    assert ends(redis, dropped, timeout_s=10) is JobState.CANCELED
    assert not record(redis, kept).status.done, "the other job should still be running"
    assert ends(redis, kept) is JobState.SUCCEEDED
    assert pixel_hashes(redis, kept) == pixel_hashes(redis, alone)


def test_the_same_seed_is_the_same_pixels_in_company_late_and_elsewhere(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    alone = submit(redis, n=1, first_index=3, seed=9, sampler=DDPM_50)
    ends(redis, alone)
    long = submit(redis, n=6, seed=1, sampler=LONG)
    until(lambda: record(redis, long).first_step_at)
    together = submit(redis, n=8, first_index=0, seed=9, sampler=DDPM_50)
    ends(redis, together)
    assert pixel_hashes(redis, together)[3] == pixel_hashes(redis, alone)[3]


def test_a_killed_workers_job_ends_with_the_same_pixels_after_a_restart(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    first = workers.start(tiny_model)
    undisturbed = submit(redis, n=40, seed=3, sampler=DDPM_50)
    ends(redis, undisturbed)
    job_id = submit(redis, n=40, seed=3, sampler=LONG)
    again = submit(redis, n=40, seed=3, sampler=DDPM_50)
    until(lambda: record(redis, job_id).first_step_at)
    first.send_signal(signal.SIGKILL)
    first.wait()
    workers.start(tiny_model)
    assert ends(redis, job_id) is JobState.SUCCEEDED
    assert ends(redis, again) is JobState.SUCCEEDED
    assert record(redis, job_id).attempts == 2
    assert pixel_hashes(redis, again) == pixel_hashes(redis, undisturbed)


def test_a_drained_worker_gives_its_work_back_uncounted(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    first = workers.start(tiny_model, WORKER_GRACE_S="0.2")
    job_id = submit(redis, n=32, sampler=LONG)
    until(lambda: record(redis, job_id).first_step_at)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=10) == 0
    assert redis.lrange("rq:queue:tiny.normal", 0, -1) == [rq_job_id(job_id, 0).encode()]
    workers.start(tiny_model)
    assert ends(redis, job_id) is JobState.SUCCEEDED
    assert record(redis, job_id).attempts == 1


def test_a_job_that_outlives_its_timeout_fails(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    job_id = submit(redis, n=2000, sampler=LONG, timeout_s=1)
    assert ends(redis, job_id) is JobState.FAILED
    error = record(redis, job_id).error
    assert error is not None
    assert error.code == "deadline_exceeded"


def test_a_redis_that_was_killed_brings_everything_back(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    with redis_server.client() as redis:
        job_id = submit(redis, n=40, sampler=LONG)  # two shards
        until(lambda: record(redis, job_id).first_step_at)
    redis_server.kill()
    redis_server.start()
    with redis_server.client() as redis:
        assert ends(redis, job_id) is JobState.SUCCEEDED
        assert len(pixel_hashes(redis, job_id)) == 40


@pytest.mark.parametrize("task", ["os.system", "worker.tasks.other"])
def test_a_foreign_task_in_the_queue_is_refused_and_harms_nobody(
    redis: Redis, workers: Workers, tiny_model: Path, tmp_path: Path, task: str
) -> None:
    from rq import Queue

    proof = tmp_path / "proof"
    queue = Queue("tiny.normal", connection=redis, serializer=JSONSerializer)
    hostile = queue.enqueue(task, f"touch {proof}")
    workers.start(tiny_model)
    job_id = submit(redis)
    assert ends(redis, job_id) is JobState.SUCCEEDED
    until(lambda: Job.fetch(hostile.id, redis, serializer=JSONSerializer).is_failed)
    assert not proof.exists()
