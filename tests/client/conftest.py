"""A real API process on a real Redis, a played worker, and both clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from denoised_client import AsyncClient, Client, RetryPolicy
from redis import Redis

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.client.blocking import Blocking
from tests.client.cutting_proxy import CuttingProxy
from tests.conftest import RedisServer

HURRIED = RetryPolicy(first_pause_s=0.01, longest_pause_s=0.1)
MakeClient = Callable[..., Any]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for all tests here; `redis` empties it."""
    with RedisServer.running() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """Empty."""
    with redis_server.client() as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def api(redis_server: RedisServer) -> Iterator[ApiProcess]:
    """`python -m app`, one for all tests here."""
    with ApiProcess.start(redis_server.url) as process:
        yield process


@pytest.fixture
def worker(redis: Redis) -> PlayedWorker:
    """One that lives and serves `tiny`."""
    played = PlayedWorker(redis)
    played.announce()
    return played


@pytest.fixture(params=["blocking", "awaiting"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Clients of either kind, with one set of words; closed at the end."""
    with ExitStack() as stack:
        if request.param == "blocking":
            yield lambda url, **options: stack.enter_context(Client(url, **options))
            return
        portal = stack.enter_context(start_blocking_portal())

        def make(url: str, **options: Any) -> Blocking:
            client = Blocking(AsyncClient(url, **options), portal)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(make_client: MakeClient, api: ApiProcess, redis: Redis) -> Any:
    """Of the API whose Redis is empty."""
    return make_client(api.url, retries=HURRIED)


@pytest.fixture
def onlooker(api: ApiProcess, redis: Redis) -> Iterator[Client]:
    """To look at what the command has done."""
    with Client(api.url) as client:
        yield client


@pytest.fixture
def proxy(api: ApiProcess) -> Iterator[CuttingProxy]:
    """Before the API."""
    with CuttingProxy.before(api.url) as proxy:
        yield proxy


@pytest.fixture
def cut_client(make_client: MakeClient, proxy: CuttingProxy, redis: Redis) -> Any:
    """Of the same API, through the proxy."""
    return make_client(proxy.url, retries=HURRIED)
