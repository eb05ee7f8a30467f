"""The API on a real Redis: in this process for tables, as a process of its own where that counts.

There is no worker here. Its part is played by `PlayedWorker`, through the real protocol.
"""

from collections.abc import Iterator

import pytest
from redis import Redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app import owners
from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for all tests that do not kill it; `redis` empties it."""
    with RedisServer.running() as server:
        yield server


@pytest.fixture
def mortal_redis() -> Iterator[RedisServer]:
    """A server of the test's own, to be killed."""
    with RedisServer.running() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """Empty."""
    with redis_server.client() as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def shared_client(redis_server: RedisServer) -> Iterator[TestClient]:
    app = create_app(Settings(redis_url=redis_server.url))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def shared_keyed(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    path = owners.write(tmp_path_factory.mktemp("keys") / "keys.toml")
    app = create_app(Settings(redis_url=redis_server.url, keys_file=path))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def keyed(shared_keyed: TestClient, redis: Redis) -> TestClient:
    """Of an app with the keys of `owners`; one has to be sent with each request."""
    return shared_keyed


@pytest.fixture
def client(shared_client: TestClient, redis: Redis) -> TestClient:
    """Of an app in this process, whose Redis is empty."""
    return shared_client


@pytest.fixture
def worker(redis: Redis) -> PlayedWorker:
    """One that lives and serves `tiny`."""
    played = PlayedWorker(redis)
    played.announce()
    return played


@pytest.fixture
def api(redis_server: RedisServer, redis: Redis) -> Iterator[ApiProcess]:
    """`python -m app` on the shared Redis."""
    with ApiProcess.start(redis_server.url) as process:
        yield process


@pytest.fixture
def mortal_api(mortal_redis: RedisServer) -> Iterator[ApiProcess]:
    """`python -m app` on the Redis that is going to be killed."""
    with ApiProcess.start(mortal_redis.url) as process:
        yield process
