"""The service under test: every process kept alive, a proxy in front of Redis and of the API."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from chaos.processes import Kept
from chaos.proxy import Proxy
from launch.redis_server import find_server
from protocol.registry import Registry
from protocol.shard_queue import queue_names

START_S = 120.0
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Stack:
    """Everything that can be broken."""

    redis: Kept
    api: Kept
    workers: list[Kept]
    info: Kept  # `rq info` in a loop, whose cleanup runs beside our reaper
    to_redis: Proxy
    to_api: Proxy
    direct: str  # URL of Redis without the proxy, for whoever only looks

    @property
    def api_url(self) -> str:
        """Through the proxy."""
        return f"http://127.0.0.1:{self.to_api.port}"

    def look(self) -> Redis:
        """A client that says at once what is wrong."""
        return Redis.from_url(self.direct, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def serves(self, workers: int) -> bool:
        """Whether Redis answers and so many of today's workers live."""
        pids = [f"-{worker.pid}-" for worker in self.workers]
        try:
            with self.look() as redis:
                live = [info.name for info in Registry(redis).live_workers()]
        except (ConnectionError, TimeoutError):
            return False
        return sum(any(pid in name for pid in pids) for name in live) >= workers


def wait_until(condition: Callable[[], Answer], *, within_s: float, what: str) -> Answer:
    """Polls, until the answer counts as true. Raises RuntimeError when the time is over."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.05)
    return answer


@contextmanager
def running(folder: Path, model: Path, *, workers: int, entry: str = "worker") -> Iterator[Stack]:
    """Started and alive; `folder` keeps Redis's files and every process's log."""
    stack = _stack(folder, model, workers, entry)
    everything = [stack.redis, stack.api, *stack.workers, stack.info]
    try:
        for kept in everything:
            kept.start()
        wait_until(lambda: stack.serves(workers), within_s=START_S, what="workers alive")
        yield stack
    finally:
        for kept in reversed(everything):
            kept.stop()
        stack.to_redis.close()
        stack.to_api.close()


def _stack(folder: Path, model: Path, workers: int, entry: str) -> Stack:
    path = f"{folder}/redis.sock"
    options = {
        "port": "0",
        "unixsocket": path,
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    api_port = _free_port()
    to_redis, to_api = Proxy(path), Proxy(api_port)
    url = f"redis://127.0.0.1:{to_redis.port}/0"
    environment = {
        "REDIS_URL": url,
        "DATA_DIR": str(folder / "data"),
        "WORKER_MODEL": str(model),
        "WORKER_THREADS": "1",
        "WORKER_GRACE_S": "3",
        "APP_PORT": str(api_port),
    }

    def kept(name: str, *command: str) -> Kept:
        return Kept(name, command, environment, folder / f"{name}.log")

    rq = str(Path(sys.executable).parent / "rq")
    return Stack(
        redis=kept("redis", find_server(), *words),
        api=kept("api", sys.executable, "-m", "app"),
        workers=[kept(f"worker-{k}", sys.executable, "-m", entry) for k in range(workers)],
        info=kept("rq-info", rq, "info", "-u", url, "-i", "0.2", *queue_names(model.name)),
        to_redis=to_redis,
        to_api=to_api,
        direct=f"unix://{path}",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
