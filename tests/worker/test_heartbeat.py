"""Leases are renewed whatever else takes its time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis.exceptions import ConnectionError

from tests.conftest import until
from worker import heartbeat
from worker.heartbeat import LATE_S, Heartbeat, Moment, may_judge

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


def test_nobody_tidies_up_where_the_wall_clock_has_jumped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a suspend or a correction: leases are dated by it, so our own look run out."""
    monkeypatch.setattr(heartbeat, "AFTER_TROUBLE_S", 1.0)
    tidied, wall_clock = Calls(), time.time
    with beating(beat=Calls(), tidy=tidied, fault=_never):
        tidied.go_on()
        monkeypatch.setattr(time, "time", lambda: wall_clock() + 60.0)
        until(lambda: _stands_still(tidied), timeout_s=5.0)
        tidied.go_on()


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "trusted"),
    [
        (1.0, 1.0, True),
        (2.5, 1.0, True),
        (LATE_S + 1.0, LATE_S + 1.0, False),
        (12.0, 1.0, False),
        (-10.0, 1.0, False),
        (60.0, 0.0, False),
    ],
    ids=["on time", "corrected a little", "late", "set forward", "set back", "suspended"],
)
def test_leases_are_judged_by_who_beats_on_time_by_clocks_that_agree(
    wall_s: float, steady_s: float, trusted: bool
) -> None:
    beaten = Moment(wall_s=1e9, steady_s=500.0)
    now = Moment(wall_s=1e9 + wall_s, steady_s=500.0 + steady_s)
    assert may_judge(beaten, now) is trusted


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
