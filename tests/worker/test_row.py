"""A ticket ends once, whoever ends it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

import pytest

from tests.worker.lines import ticket
from worker.row import Dropped, Ticket


class Contested(Future[None]):
    """Whoever asks whether it is over gets the answer only once another has asked, too."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = Barrier(2)

    def done(self) -> bool:
        over = super().done()
        with suppress(BrokenBarrierError):
            self._asked.wait(timeout=0.5)
        return over


def _drop(ended: Ticket) -> None:
    ended.drop(Dropped("by another thread"))


@pytest.mark.parametrize("other", [Ticket.finish, _drop])
def test_two_threads_that_end_a_ticket_at_once_end_it_once(other: Callable[[Ticket], None]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(500):
            contested = replace(ticket("job", n=1), done=Contested())
            for ending in [pool.submit(end, contested) for end in (_drop, other)]:
                ending.result(timeout=60)
            contested.done.exception(timeout=0)  # whichever it is, it is there


def test_the_first_word_stands() -> None:
    finished, dropped = ticket("a", n=1), ticket("b", n=1)
    finished.finish()
    finished.drop(Dropped("too late"))
    assert finished.done.result() is None
    dropped.drop(Dropped("first"))
    dropped.finish()
    assert isinstance(dropped.done.exception(), Dropped)
