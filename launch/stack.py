"""The service on one machine: Redis, then the API, the sender of webhooks and the workers."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.child import Child, Say
from launch.redis_server import RedisFolder, check_reachable
from launch.settings import UpSettings, may_be_hub_id, worker_threads
from launch.supervisor import Supervisor
from launch.workers import GIVE_BACK_S

# Of a thread that waits for its team. libgomp's own 300,000 make a step 3 % faster on cores that
# nobody else uses, and five to ten times slower on those that somebody does.
SPINS = "2000"
REDIS_PATIENCE_S = 10.0


@contextmanager
def service(
    settings: UpSettings, supervisor: Supervisor, *, restarts: bool = True
) -> Iterator[str]:
    """The API's URL, while everything is started. Raises RedisError."""
    with _redis(settings, supervisor) as redis_url:
        children = [
            _api(settings, redis_url, supervisor.say),
            _sender(settings, redis_url, supervisor.say, restarts=restarts),
        ]
        children += _workers(settings, redis_url, supervisor.say, restarts=restarts)
        with supervisor.running(children, patience_s=settings.grace_s + GIVE_BACK_S):
            yield settings.url


@contextmanager
def _redis(settings: UpSettings, supervisor: Supervisor) -> Iterator[str]:
    if settings.redis_url is not None:
        check_reachable(settings.redis_url)
        yield settings.redis_url
        return
    with embedded_redis(settings.data_dir, supervisor, durability=settings.durability) as url:
        yield url


@contextmanager
def embedded_redis(
    data_dir: Path, supervisor: Supervisor, *, durability: str = "strict"
) -> Iterator[str]:
    """The URL of a server of our own, its files in a data folder. Raises RedisError."""
    files = RedisFolder(data_dir)
    with files.locked():
        server = files.server(supervisor.say, durability=durability)
        with supervisor.running([server], patience_s=REDIS_PATIENCE_S):
            files.wait_until_up(server)
            yield files.url


def _api(settings: UpSettings, redis_url: str, say: Say) -> Child:
    environment = {
        "REDIS_URL": redis_url,
        "APP_HOST": settings.host,
        "APP_PORT": str(settings.port),
        "APP_LOG": os.environ.get("APP_LOG", "text"),  # who started us reads along
    }
    return Child("api", [sys.executable, "-m", "app"], environment, say)


def _sender(settings: UpSettings, redis_url: str, say: Say, *, restarts: bool) -> Child:
    environment = {"REDIS_URL": redis_url, "DATA_DIR": str(settings.data_dir.resolve())}
    return Child("webhooks", [sys.executable, "-m", "webhooks"], environment, say, restarts)


def _workers(settings: UpSettings, redis_url: str, say: Say, *, restarts: bool) -> list[Child]:
    model = settings.model if may_be_hub_id(settings.model) else settings.model.absolute()
    environment = {  # paths as whoever called us means them: the children run in the checkout
        "REDIS_URL": redis_url,
        "DATA_DIR": str(settings.data_dir.resolve()),
        "WORKER_MODEL": str(model),
        "WORKER_THREADS": str(worker_threads(settings.workers)),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPINS),
    }
    return [
        Child(f"worker-{k}", [sys.executable, "-m", "worker"], environment, say, restarts)
        for k in range(1, settings.workers + 1)
    ]
