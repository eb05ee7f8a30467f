"""A process that we started: tethered to us, what it says passed on line by line."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from launch import tether

ROOT = Path(__file__).resolve().parent.parent
EXIT_BAD_SETTINGS = 2  # of ours, and of the children: starting again would not help
Say = Callable[[str], None]


def say(line: str) -> None:
    """To whoever started us, if they are still there."""
    with suppress(OSError):  # a closed terminal: what runs must be able to leave in order
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


@dataclass(eq=False)
class Child:
    """One process of the service, started anew as often as `start` is called.

    `start` belongs into the main thread: the tether follows the thread that started the child.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    say: Say
    restarts: bool = False  # whether its end is an accident to repair, not the end of everything
    hopeless: frozenset[int] = frozenset({EXIT_BAD_SETTINGS})  # statuses not to start again after
    process: "subprocess.Popen[str] | None" = field(default=None, init=False)
    started_at_s: float = field(default=0.0, init=False)

    def start(self, ended: "Callable[[Child], None] | None" = None) -> None:
        """Start it, away from the terminal's Ctrl-C; `ended` is called once, from a thread."""
        self.started_at_s = time.monotonic()
        self.process = process = subprocess.Popen(
            [sys.executable, tether.__file__, str(os.getpid()), *self.command],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._follow, args=(process, ended), daemon=True).start()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or before it did."""
        return None if self.process is None else self.process.poll()

    @property
    def lived_s(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self.started_at_s

    def ask_to_leave(self) -> None:
        """SIGTERM, to it alone."""
        if self.process and self.status is None:
            self.process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Whether it has left, within this time."""
        try:
            return self.process is None or self.process.wait(timeout_s) is not None
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """SIGKILL, and gone."""
        if self.process and self.status is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _follow(
        self, process: "subprocess.Popen[str]", ended: "Callable[[Child], None] | None"
    ) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.say(f"{self.name:<8} | {line.rstrip()}")
        process.wait()
        if ended:
            ended(self)
