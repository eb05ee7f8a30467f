"""Keep children running: who is started again after its end, and whose end is everybody's."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from launch.child import Child, Say

LONGEST_DELAY_S, STEADY_S = 30.0, 60.0


@dataclass(frozen=True)
class Ended:
    """A child left by itself."""

    child: Child


@dataclass(frozen=True)
class Due:
    """Time to start a child again."""

    child: Child


Happening = Ended | Due | Future[int | None]


def leave_on_signals() -> None:
    """SIGTERM and a closed terminal as Ctrl-C: KeyboardInterrupt, in the main thread.

    Also in a shell's background, where Ctrl-C would be ignored; `nohup` stays in force.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def delay_s(crashes: int) -> float:
    """Before the start after so many crashes in a row: 1, 2, 4 ... 30 s."""
    doublings = min(crashes - 1, 10)  # beyond 1,023 of them it is an OverflowError
    return min(LONGEST_DELAY_S, 2.0**doublings)


@dataclass(eq=False)
class Supervisor:
    """One place where everything that happens arrives, one at a time."""

    say: Say
    leaving: threading.Event = field(default_factory=threading.Event)
    _happened: "SimpleQueue[Happening]" = field(default_factory=SimpleQueue)
    _crashes: "Counter[Child]" = field(default_factory=Counter)

    @contextmanager
    def running(self, children: Sequence[Child], *, patience_s: float) -> Iterator[None]:
        """Started; asked to leave at the end, and killed if they have not after `patience_s`."""
        try:
            for child in children:
                child.start(self._ended)
            yield
        finally:
            self.leaving.set()
            try:
                stop(children, patience_s)
            finally:  # also when a second Ctrl-C cuts the waiting short
                for child in children:
                    child.kill()

    def beside(self, task: Callable[[], int | None]) -> None:
        """Call a task in a thread. What it returns ends `run`, unless None; so does its error."""
        ThreadPoolExecutor(1).submit(task).add_done_callback(self._happened.put)

    def run(self) -> int:
        """Until a child's end is everybody's or a task has ended: an exit status."""
        while True:
            match self._happened.get():
                case Future() as task:
                    status: int | None = task.result()
                    if status is not None:
                        return status
                case Ended(child) if child.restarts and child.status not in child.hopeless:
                    self._start_later(child)
                case Ended(child):
                    self.say(f"{child.name} has left with status {child.status}: stopping")
                    return child.status or 1
                case Due(child):
                    child.start(self._ended)

    def _ended(self, child: Child) -> None:
        self._happened.put(Ended(child))

    def _start_later(self, child: Child) -> None:
        """After a while; a child that ran steadily starts with a clean slate."""
        self._crashes[child] = 1 if child.lived_s > STEADY_S else self._crashes[child] + 1
        delay = delay_s(self._crashes[child])
        self.say(f"{child.name} has left with status {child.status}: again in {delay:.0f} s")
        timer = threading.Timer(delay, self._happened.put, [Due(child)])
        timer.daemon = True
        timer.start()


def stop(children: Sequence[Child], patience_s: float) -> None:
    """All at once, not one after the other; `patience_s` is for all of them together."""
    for child in children:
        child.ask_to_leave()
    deadline_s = time.monotonic() + patience_s
    for child in children:
        child.wait(max(0.0, deadline_s - time.monotonic()))
