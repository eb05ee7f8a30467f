"""A job that breaks the engine fails alone; those that shared its steps do not."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from chaos.processes import Kept
from protocol.messages import SamplerSpec
from protocol.states import JobState
from tests.conftest import RedisServer, until
from tests.e2e.poisoned_worker import BREAKS, KILLS, RAISES
from tests.jobs import pixel_hashes, record, submit

LONG = SamplerSpec(name="ddpm", steps=200, variance="fixed_small", clip=1.0)
PATIENCE_S = 240.0


@pytest.fixture
def keep_worker(
    redis_server: RedisServer, tiny_model: Path, data_dir: Path, tmp_path: Path
) -> Iterator[Callable[[], Kept]]:
    """Starts one that its supervisor starts again whenever it has left."""
    environment = {
        "REDIS_URL": redis_server.url,
        "DATA_DIR": str(data_dir),
        "WORKER_MODEL": str(tiny_model),
        "WORKER_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.e2e.poisoned_worker"]
    kept = Kept("poisoned", command, environment, tmp_path / "worker.log")

    def start() -> Kept:
        kept.start()
        return kept

    yield start
    kept.stop()


def _all_done(redis: Redis, job_ids: list[str]) -> bool:
    return all(record(redis, job_id).status.done for job_id in job_ids)


@pytest.mark.parametrize(
    ("seed", "code", "crashes"),
    [
        pytest.param(RAISES, "engine_fault", 1 + 3, id="a-step-that-raises"),
        pytest.param(
            KILLS,
            "worker_lost",
            2 + 3,
            id="a-killed-process",
            marks=pytest.mark.skipif("CHAOS" not in os.environ, reason="minutes: make chaos"),
        ),
    ],
)
def test_poison_fails_alone_after_three_crashes_of_its_own(
    redis: Redis, keep_worker: Callable[[], Kept], seed: int, code: str, crashes: int
) -> None:
    innocent = [submit(redis, n=3, seed=k, sampler=LONG) for k in range(3)]
    poison = submit(redis, n=2, seed=seed, sampler=LONG)
    worker = keep_worker()
    until(lambda: _all_done(redis, [*innocent, poison]), timeout_s=PATIENCE_S)
    failed = record(redis, poison)
    assert failed.status is JobState.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert [record(redis, job_id).status for job_id in innocent] == [JobState.SUCCEEDED] * 3
    assert all(len(pixel_hashes(redis, job_id)) == 3 for job_id in innocent)
    until(lambda: worker.starts == 1 + crashes, timeout_s=PATIENCE_S)
    last = submit(redis, n=1)
    until(lambda: record(redis, last).status is JobState.SUCCEEDED, timeout_s=PATIENCE_S)


def test_an_image_that_is_no_number_fails_its_job_by_name(
    redis: Redis, keep_worker: Callable[[], Kept]
) -> None:
    broken = submit(redis, n=2, first_index=7, seed=BREAKS, sampler=LONG)
    beside = submit(redis, n=2, seed=1, sampler=LONG)
    worker = keep_worker()
    until(lambda: _all_done(redis, [broken, beside]), timeout_s=PATIENCE_S)
    error = record(redis, broken).error
    assert error is not None
    assert error.code == "not_finite"
    assert pixel_hashes(redis, broken) == {}
    assert record(redis, beside).status is JobState.SUCCEEDED
    assert worker.starts == 1
