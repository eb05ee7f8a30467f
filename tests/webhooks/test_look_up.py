"""Names that nobody answers for: what waits for them, and what does not."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from webhooks.look_up import look_up

MANY = 60  # more than asyncio has threads on most machines


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that does not answer as long as the test lasts."""
    over = threading.Event()

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        over.wait()
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()


def test_names_without_an_answer_keep_nothing_else_waiting_not_even_the_end(silence: None) -> None:
    async def others_go_on() -> None:
        asked = [asyncio.create_task(look_up("silent.example", 443)) for _ in range(MANY)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked[-1]), 0.2)
        await asyncio.wait_for(asyncio.to_thread(time.monotonic), 10)
        for each in asked:
            each.cancel()

    asyncio.run(others_go_on())


def test_each_address_comes_once_in_the_systems_order() -> None:
    assert [str(each) for each in asyncio.run(look_up("127.0.0.1", 80))] == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 64 + ".example"])
def test_a_name_without_addresses_raises(host: str) -> None:
    with pytest.raises((OSError, ValueError)):
        asyncio.run(look_up(host, 80))
