"""A shard from claim to last commit, the engine stepped by hand: Redis and previews in the way."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.checkpoint import load_checkpoint
from protocol import keys
from protocol.image_store import RedisImageStore
from protocol.job_removal import remove
from protocol.job_store import Begun, JobStore, NotBegun
from protocol.messages import SamplerSpec
from protocol.preview_store import PreviewStore
from protocol.shard_queue import OUTSTANDING, SHARD_IMAGES
from tests.conftest import RedisServer, until
from tests.jobs import record, submit
from worker.engine import Engine
from worker.examine import sampling_net
from worker.fingerprint import resolve
from worker.resident import ResidentModel
from worker.row import EngineFault, Pixels, Row
from worker.runner import TorchRunner
from worker.shard_runner import Outcome, ShardRunner

SHORT = SamplerSpec(name="ddim", steps=2, eta=0.0, clip=1.0)
LONG = SamplerSpec(name="ddim", steps=50, eta=0.0, clip=1.0)
WATCHED = 4  # jobs
REPORTS = 15  # while the engine takes a step
NUMERICS = resolve(device="cpu", threads=1, precision="float32", mode="eager", chunk=8, pixels=64)


class CountingRunner(TorchRunner):
    """The real one, and how often it was asked to show something."""

    shown = 0

    def preview(self, rows: list[Row]) -> list[Pixels]:
        self.shown += 1
        return super().preview(rows)


class Lost:
    """Pixels that the device did not live to give."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise EngineFault("the device failed")


class LosingRunner(TorchRunner):
    """The real one, on a device that fails after the host has gone on."""

    def collect(self, rows: list[Row]) -> list[Pixels]:
        return [Lost() for _ in super().collect(rows)]


class Bench:
    """A ShardRunner, and an engine that steps only when it is told to."""

    def __init__(self, model: ResidentModel, store: JobStore) -> None:
        self.engine = Engine(model.runner, on_fault=_unexpected)
        images = RedisImageStore(store.redis)
        self.shards = ShardRunner("bench", model, self.engine, store, images)
        self.threads = ThreadPoolExecutor(WATCHED + 1)

    def run(self, job_id: str) -> "Future[Outcome]":
        """Run its only shard in a thread."""
        message: dict[str, object] = {"job_id": job_id, "shard": 0}
        return self.threads.submit(self.shards.run, message, key=job_id)

    def step(self, times: int) -> None:
        for _ in range(times):
            self.engine.step()


def _unexpected() -> None:
    raise AssertionError("the engine faulted")


@contextmanager
def benched(
    server: RedisServer, model: ResidentModel, store: type[JobStore] = JobStore
) -> Iterator[Bench]:
    """With a client that does not try again by itself, so that Redis is away at once."""
    with Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as hasty:
        bench = Bench(model, store(hasty))
        try:
            yield bench
        finally:
            bench.shards.give_all_back()
            bench.shards.leave()
            bench.threads.shutdown()


@pytest.fixture
def runner(tiny_model: Path) -> CountingRunner:
    net = sampling_net(load_checkpoint(tiny_model), NUMERICS)
    return CountingRunner(net, device="cpu", slots=16, sizes=(NUMERICS.chunk,))


@pytest.fixture
def model(tiny_model: Path, runner: CountingRunner) -> ResidentModel:
    return ResidentModel("tiny", load_checkpoint(tiny_model), NUMERICS, runner)


def test_previews_that_wait_for_a_step_hold_up_no_image(
    redis_server: RedisServer, redis: Redis, model: ResidentModel, runner: CountingRunner
) -> None:
    watched = [submit(redis, n=1, sampler=LONG) for _ in range(WATCHED)]
    sheets = [keys.previews(job_id) for job_id in watched]
    with benched(redis_server, model) as bench:
        for job_id in watched:
            bench.run(job_id)
        ended = bench.run(submit(redis, n=1, sampler=SHORT))
        until(lambda: bench.engine.waiting_rows == WATCHED + 1)
        bench.step(1)
        for times in (1, 2):
            _watch(redis, watched)
            for _ in range(REPORTS):
                bench.shards.report()
            bench.step(1)
            assert ended.result(timeout=4.0) is Outcome.DONE
            until(lambda: redis.exists(*sheets) == WATCHED)
            redis.delete(*sheets)
            assert runner.shown == times * WATCHED, "one sheet a job is enough"


def test_a_device_that_fails_before_the_pixels_are_there_fails_no_job(
    redis_server: RedisServer, redis: Redis, tiny_model: Path
) -> None:
    checkpoint = load_checkpoint(tiny_model)
    net = sampling_net(checkpoint, NUMERICS)
    losing = LosingRunner(net, device="cpu", slots=16, sizes=(NUMERICS.chunk,))
    job_id = submit(redis, n=2, sampler=SHORT)
    with benched(redis_server, ResidentModel("tiny", checkpoint, NUMERICS, losing)) as bench:
        ended = bench.run(job_id)
        until(lambda: bench.engine.waiting_rows == 2)
        bench.step(SHORT.steps)
        assert ended.result(timeout=4.0) is Outcome.GIVEN_BACK
    found = JobStore(redis).get(job_id)
    assert found is not None
    assert not found.status.done


def _watch(redis: Redis, job_ids: list[str]) -> None:
    for job_id in job_ids:
        PreviewStore(redis).watch(job_id)


def test_a_redis_that_is_away_at_the_first_step_is_waited_for(
    redis_server: RedisServer, redis: Redis, model: ResidentModel, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = submit(redis, n=1, sampler=SHORT)
    with benched(redis_server, model) as bench:
        ended = bench.run(job_id)
        until(lambda: bench.engine.waiting_rows)
        redis_server.kill()
        bench.step(1)
        until(lambda: "again in" in caplog.text)
        redis_server.start()
        bench.step(1)
        assert ended.result(timeout=30) is Outcome.DONE
    assert record(redis, job_id).first_step_at
    _was_run_once(redis, job_id)


def test_a_redis_that_goes_away_as_soon_as_a_shard_is_begun_is_waited_for(
    redis_server: RedisServer, redis: Redis, model: ResidentModel, caplog: pytest.LogCaptureFixture
) -> None:
    class BeginsOnce(JobStore):
        def begin_shard(self, job_id: str, shard: int, **rest: Any) -> Begun | NotBegun:
            held = super().begin_shard(job_id, shard, **rest)
            redis_server.kill()
            return held

    job_id = submit(redis, n=1, sampler=SHORT)
    with benched(redis_server, model, BeginsOnce) as bench:
        ended = bench.run(job_id)
        until(lambda: "again in" in caplog.text)
        redis_server.start()
        until(lambda: bench.engine.waiting_rows)
        bench.step(2)
        assert ended.result(timeout=30) is Outcome.DONE
    _was_run_once(redis, job_id)


def test_nothing_more_is_queued_of_a_job_that_goes_while_a_shards_last_images_are_drawn(
    redis_server: RedisServer, redis: Redis, model: ResidentModel
) -> None:
    """They are drawn to the end, so only their commits tell."""
    job_id = submit(redis, n=SHARD_IMAGES * OUTSTANDING + 1, sampler=SHORT)
    with benched(redis_server, model) as bench:
        ended = bench.run(job_id)
        until(lambda: bench.engine.waiting_rows)
        bench.step(SHORT.steps * SHARD_IMAGES // NUMERICS.chunk - 1)
        until(lambda: record(redis, job_id).images_done == SHARD_IMAGES - NUMERICS.chunk)
        remove(JobStore(redis), record(redis, job_id))
        bench.step(1)
        assert ended.result(timeout=30) is Outcome.CLOSED
    assert redis.keys("rq:job:*") == []


def _was_run_once(redis: Redis, job_id: str) -> None:
    """And no crash is on its account."""
    assert redis.hgetall(keys.epochs(job_id)) == {b"0": b"1"}
    assert not redis.exists(keys.leases(job_id))
