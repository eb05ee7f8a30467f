"""A worker's clock: every second it renews leases, and reports; every few seconds it tidies up.

Each on a thread of its own: leases run out in seconds, and to report of every shard, or to put back
what others have left, may take longer.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from protocol.trouble import passing_trouble

BEAT_EVERY_S = 1.0
LATE_S = 8.0  # a beat after so long finds its leases, of ten seconds, all but over
APART_S = 2.0  # between two clocks, since the last beat: a correction may be a second
AFTER_TROUBLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Moment:
    """By two clocks: leases are dated by the wall's, which is set, and runs on in a suspend."""

    wall_s: float
    steady_s: float

    @classmethod
    def now(cls) -> Self:
        """As this host has it."""
        return cls(time.time(), time.monotonic())


def may_judge(beaten: Moment, now: Moment) -> bool:
    """Whether whoever beat last at `beaten` can tell by now whose leases have run out.

    Late, or by a clock that has jumped meanwhile, its own would be the first.
    """
    wall_s, steady_s = now.wall_s - beaten.wall_s, now.steady_s - beaten.steady_s
    return steady_s <= LATE_S and abs(wall_s - steady_s) <= APART_S


class Heartbeat:
    """Calls `beat`, `report` and `tidy`, and `fault` where they raise more than passing trouble.

    `beat` renews what runs out: the others count on it, and it waits for neither.
    """

    def __init__(
        self,
        beat: Callable[[], None],
        tidy: Callable[[], None],
        *,
        report: Callable[[], None],
        fault: Callable[[], None],
        beat_every_s: float = BEAT_EVERY_S,
        tidy_every_s: float,
    ) -> None:
        self._beat, self._report, self._tidy, self._fault = beat, report, tidy, fault
        self._told = threading.Event()
        self._beaten, self._tidy_from_s = Moment.now(), 0.0
        self._threads = [
            threading.Thread(target=self._repeat, args=repeated, name=name, daemon=True)
            for name, *repeated in (
                ("heartbeat", beat_every_s, self._beat_once),
                ("report", beat_every_s, self._report_once),
                ("tidy", tidy_every_s, self._tidy_once),
            )
        ]

    def start(self) -> None:
        """The first of each comes when its pause is over."""
        self._beaten = Moment.now()
        for thread in self._threads:
            thread.start()

    def stop(self, *, patience_s: float) -> None:
        """Stop between two calls; wait no longer than that for one to return."""
        self._told.set()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _repeat(self, every_s: float, act: Callable[[], None]) -> None:
        try:
            while not self._told.wait(every_s):
                act()
        except Exception:
            self._fault()  # without a heartbeat it would soon be taken for dead
            raise

    def _beat_once(self) -> None:
        heard = False
        with passing_trouble("no heartbeat while Redis is in trouble"):
            self._beat()
            heard = True
        now = Moment.now()
        if not heard or not may_judge(self._beaten, now):
            # Leases may have run out that nobody could renew: let their holders speak first.
            self._tidy_from_s = now.steady_s + AFTER_TROUBLE_S
        self._beaten = now

    def _report_once(self) -> None:
        with passing_trouble("nothing reported while Redis is in trouble"):
            self._report()

    def _tidy_once(self) -> None:
        """Unless our own leases are not renewed either: then it is no time to judge by leases."""
        now = Moment.now()
        if now.steady_s >= self._tidy_from_s and may_judge(self._beaten, now):
            with passing_trouble("nothing tidied up while Redis is in trouble"):
                self._tidy()
