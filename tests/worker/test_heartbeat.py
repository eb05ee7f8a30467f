"""Leases are renewed whatever else takes its time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis.exceptions import ConnectionError

from tests.conftest import until
from worker import heartbeat
from worker.heartbeat import Heartbeat

OFTEN_S = 0.01


@contextmanager
def beating(
    *,
    beat: Callable[[], None],
    report: Callable[[], None] = lambda: None,
    tidy: Callable[[], None] = lambda: None,
    fault: Callable[[], None],
) -> Iterator[Heartbeat]:
    heart = Heartbeat(
        beat, tidy, report=report, fault=fault, beat_every_s=OFTEN_S, tidy_every_s=OFTEN_S
    )
    heart.start()
    yield heart
    heart.stop(patience_s=10)


class Calls:
    """Counts them, and tells who waits for the next."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1

    def go_on(self) -> None:
        """Returns once it was called a few times more."""
        before = self.number
        until(lambda: self.number > before + 2)


def _never() -> None:
    raise AssertionError("there was no fault")


@pytest.mark.parametrize("slow", ["report", "tidy"])
def test_it_beats_on_while_something_else_takes_its_time(slow: str) -> None:
    beats, begun, ended = Calls(), threading.Event(), threading.Event()

    def take_time() -> None:
        begun.set()
        assert ended.wait(timeout=30)

    with beating(beat=beats, fault=_never, **{slow: take_time}):
        assert begun.wait(timeout=30)
        beats.go_on()
        ended.set()


def test_nobody_tidies_up_while_leases_cannot_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "AFTER_TROUBLE_S", 2.0)
    away, refused, tidied = threading.Event(), Calls(), Calls()

    def beat() -> None:
        if away.is_set():
            refused()
            raise ConnectionError("away")

    with beating(beat=beat, tidy=tidied, fault=_never):
        tidied.go_on()
        away.set()
        refused.go_on()
        before = tidied.number
        refused.go_on()
        assert tidied.number == before
        away.clear()
        tidied.go_on()


def test_nobody_tidies_up_while_a_beat_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a freeze of the process: who looks first would find its own leases run out."""
    monkeypatch.setattr(heartbeat, "LATE_S", 0.1)
    monkeypatch.setattr(heartbeat, "AFTER_TROUBLE_S", 0.1)
    frozen, thawed, tidied = threading.Event(), threading.Event(), Calls()

    def beat() -> None:
        frozen.set()
        assert thawed.wait(timeout=30)

    with beating(beat=beat, tidy=tidied, fault=_never):
        assert frozen.wait(timeout=30)
        until(lambda: _stands_still(tidied))
        thawed.set()
        tidied.go_on()


def _stands_still(calls: Calls) -> bool:
    before = calls.number
    return not threading.Event().wait(20 * OFTEN_S) and calls.number == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("broken", ["beat", "report", "tidy"])
def test_what_is_no_trouble_of_redis_is_a_fault(broken: str) -> None:
    def bug() -> None:
        raise KeyError("a bug")

    faulted = threading.Event()
    acts: dict[str, Callable[[], None]] = {"beat": Calls(), "tidy": Calls(), broken: bug}
    with beating(**acts, fault=faulted.set):
        assert faulted.wait(timeout=30)
