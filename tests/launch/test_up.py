"""`make up` on one machine: comes up, stays up, leaves nothing behind."""

import os
import pty
import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from launch.settings import free_port
from tests.conftest import until
from tests.launch.launcher import Launcher, alive, needs_ipv6, started_by

JOB = {"n": 4, "seed": 1, "sampler": {"name": "ddim", "steps": 10}}


@pytest.fixture
def environment(tmp_path: Path, tiny_model: Path, data_dir: Path) -> dict[str, str]:
    """Of a service on a free port; the engine's findings are shared, Redis is not."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "engine").symlink_to(data_dir / "engine")
    (data_dir / "engine").mkdir(exist_ok=True)
    return {
        "PORT": str(free_port()),
        "DATA_DIR": str(folder),
        "MODEL": str(tiny_model),
        "WORKER_THREADS": "1",  # two that wait for each other suffer from whatever else runs
    }


def draw(url: str) -> dict[str, object]:
    """A job, waited for."""
    with httpx2.Client(base_url=url, timeout=30) as http:
        job = http.post("/v1/jobs", json=JOB).raise_for_status().json()
        wait = {"Prefer": "wait=10"}
        return until(lambda: _if_done(http.get(job["urls"]["self"], headers=wait).json()))


def _if_done(job: dict[str, object]) -> dict[str, object] | None:
    return job if job["done"] else None


def hashes(job: dict[str, object]) -> list[object]:
    images = job["images"]
    assert isinstance(images, list)
    return [image["pixels_sha256"] for image in images]


def test_it_draws_heals_refuses_a_second_one_and_leaves_nothing(
    environment: dict[str, str],
) -> None:
    with Launcher.start("launch.up", **environment) as up:
        url = up.until_said("denoised is ready").split()[3]
        before = draw(url)
        assert not any("/readyz" in line for line in up.said), "probes are no news"

        with Launcher.start("launch.up", **environment) as second:
            assert second.process.wait(timeout=30) == 2
        assert f"port {environment['PORT']} is in use" in second.said[-1]

        elsewhere = environment | {"PORT": str(free_port())}
        with Launcher.start("launch.up", **elsewhere) as third:
            assert third.process.wait(timeout=30) == 2
        assert f"in use by process {up.process.pid}: stop it, or" in third.said[-1]

        os.kill(up.children()["worker"], signal.SIGKILL)
        up.until_said("worker-1 has left with status -9: again in 1 s")
        assert hashes(draw(url)) == hashes(before)

        children = up.children()
        assert set(children) == {"redis", "app", "webhooks", "worker"}
        assert up.ctrl_c() == 0
    assert not any(alive(pid) for pid in children.values())


def test_jobs_survive_a_restart(environment: dict[str, str]) -> None:
    with Launcher.start("launch.up", **environment) as up:
        job = draw(up.until_said("denoised is ready").split()[3])
        assert up.ctrl_c() == 0
    with Launcher.start("launch.up", **environment) as up:
        url = up.until_said("denoised is ready").split()[3]
        again = httpx2.get(f"{url}/v1/jobs/{job['id']}").json()
        assert hashes(again) == hashes(job)
        assert up.ctrl_c() == 0


def test_when_the_launcher_is_killed_everything_goes_and_it_starts_again(
    environment: dict[str, str],
) -> None:
    with Launcher.start("launch.up", **environment) as up:
        up.until_said("denoised is ready")
        children = up.children()
        up.process.kill()
        until(lambda: not any(alive(pid) for pid in children.values()))
    with Launcher.start("launch.up", **environment) as up:
        up.until_said("denoised is ready")
        assert up.ctrl_c() == 0


def test_a_closed_terminal_stops_everything_in_order(environment: dict[str, str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests run under nohup
        os.execve(sys.executable, [sys.executable, "-m", "launch.up"], os.environ | environment)
    shown = b""
    while b"denoised is ready" not in shown:
        shown += os.read(terminal, 4096)
    children = started_by(pid)
    assert set(children) == {"redis", "app", "webhooks", "worker"}

    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    assert not any(alive(child) for child in children.values())


@needs_ipv6
def test_neither_proxies_nor_a_folders_name_nor_ipv6_keep_it_from_starting(
    environment: dict[str, str], redis_folder: Path, data_dir: Path
) -> None:
    folder = redis_folder / "C#100%41?"
    folder.mkdir()
    (folder / "engine").symlink_to(data_dir / "engine")
    odd = {"HOST": "::1", "DATA_DIR": str(folder), "ALL_PROXY": "socks5://127.0.0.1:1"}
    with Launcher.start("launch.up", **environment | odd) as up:
        url = up.until_said("denoised is ready").split()[3]
        assert url == f"http://[::1]:{environment['PORT']}"
        assert len(hashes(draw(url))) == JOB["n"]
        assert up.ctrl_c() == 0


def test_a_worker_that_hangs_is_waited_for_its_grace_and_a_little(
    environment: dict[str, str],
) -> None:
    with Launcher.start("launch.up", **environment | {"WORKER_GRACE_S": "0"}) as up:
        up.until_said("denoised is ready")
        worker = up.children()["worker"]
        os.kill(worker, signal.SIGSTOP)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(timeout=25) == 0, "without the setting it would be 35 s"
    assert not alive(worker)


def test_the_end_of_redis_is_the_end_of_all(environment: dict[str, str]) -> None:
    with Launcher.start("launch.up", **environment) as up:
        up.until_said("denoised is ready")
        children = up.children()
        os.kill(children["redis"], signal.SIGKILL)
        assert up.process.wait(timeout=60) != 0
        up.until_said("redis has left with status -9: stopping")
    assert not any(alive(pid) for pid in children.values())


def test_a_folder_without_a_checkpoint_is_the_users_to_mend(
    environment: dict[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with Launcher.start("launch.up", **environment | {"MODEL": str(empty)}) as up:
        assert up.process.wait(timeout=60) == 2
    assert any("config.json: missing" in line for line in up.said)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"PORT": "eighty"}, "PORT: Input should be a valid integer"),
        ({"PORT": "70000"}, "PORT: Input should be less than or equal to 65535"),
        ({"HOST": "192.0.2.1"}, "HOST: cannot listen on 192.0.2.1: "),
        ({"HOST": "my..host"}, "HOST: my..host is not a name that a machine can have"),
        ({"WORKER_GRACE_S": "long"}, "WORKER_GRACE_S: Input should be a valid number"),
        ({"WORKERS": "0"}, "WORKERS: Input should be greater than or equal to 1"),
        ({"MODEL": "/nowhere"}, "MODEL: /nowhere is not a folder"),
        ({"MODEL": "nowhere"}, "MODEL: nowhere is not a folder"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "REDIS_URL: no Redis answers there"),
        ({"REDIS_URL": "localhost"}, "REDIS_URL: is not one that can be read"),
        ({"REDIS_URL": "redis://localhost?foo=bar"}, "REDIS_URL: is not one that can be read"),
        ({"REDIS_URL": "redis://localhost?db=a"}, "REDIS_URL: is not one that can be read"),
        ({"DATA_DIR": "/dev/null"}, "DATA_DIR: cannot write to /dev/null/redis: Not a directory"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    environment: dict[str, str], setting: dict[str, str], says: str
) -> None:
    with Launcher.start("launch.up", **environment | setting) as up:
        assert up.process.wait(timeout=30) == 2
    assert len(up.said) == 1
    assert up.said[0].startswith(says)


def test_a_port_that_something_else_uses_is_refused_at_once(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with Launcher.start("launch.up", **environment | {"PORT": str(port)}) as up:
            assert up.process.wait(timeout=30) == 2
    assert up.said == [f"port {port} is in use: stop what uses it, or `make up PORT={port + 1}`\n"]
