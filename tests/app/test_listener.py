"""What is on its way to one client."""

import asyncio

import pytest

from app import listener
from app.listener import MOST_BEHIND, Listener
from app.sse import KEEP_ALIVE


def waiting() -> Listener:
    return Listener(since=None, wants_previews=False)


async def _all(one: Listener) -> list[bytes]:
    chunks = []
    while (chunk := await one.next()) is not None:
        chunks.append(chunk)
    return chunks


def test_chunks_arrive_in_order_and_then_the_end() -> None:
    one = waiting()
    for chunk in (b"a", b"", b"b"):
        one.put(chunk)
    one.close()
    assert asyncio.run(_all(one)) == [b"a", b"b"]


def test_a_comment_is_sent_where_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 0.01)
    one = waiting()
    assert asyncio.run(one.next()) == KEEP_ALIVE == b": still here\n\n"
    one.put(b"a")
    assert asyncio.run(one.next()) == b"a"


def test_a_client_that_does_not_keep_up_is_let_go_at_a_place_that_it_has_heard() -> None:
    """What it has not read is not sent in part: it would never learn of the rest."""
    one = waiting()
    for _ in range(MOST_BEHIND + 1):
        one.put(b"a")
    assert asyncio.run(_all(one)) == []
