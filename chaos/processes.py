"""Processes that somebody keeps alive, as a supervisor would."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGAIN_AFTER_S = 0.3


@dataclass(eq=False)
class Kept:
    """One command, started again whenever it has left, until `stop`. Its output goes to a file."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    starts: int = 0
    statuses: list[int] = field(default_factory=list)
    _held: bool = False
    _process: "subprocess.Popen[bytes] | None" = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """And watch over it."""
        self._start()
        threading.Thread(target=self._watch, name=f"keep {self.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of the process as of now."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal, to the process that runs now, if one does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def freeze(self, lasts_s: float) -> None:
        """Stop it in its tracks, and let it go on as if no time had passed."""
        process = self._process
        self.send(signal.SIGSTOP)
        time.sleep(lasts_s)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)

    def kill_for(self, lasts_s: float) -> None:
        """SIGKILL, and no new start before the time is over."""
        self._held = True
        self.send(signal.SIGKILL)
        time.sleep(lasts_s)
        self._held = False

    def stop(self) -> None:
        """For good."""
        self._stopping.set()
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def files(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self) -> int:
        """Of the process."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def memory_bytes(self) -> int:
        """Resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=os.environ | dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _watch(self) -> None:
        while not self._stopping.is_set():
            assert self._process is not None
            try:
                self.statuses.append(self._process.wait(timeout=0.2))
            except subprocess.TimeoutExpired:
                continue
            self._stopping.wait(AGAIN_AFTER_S)
            while self._held and not self._stopping.is_set():
                time.sleep(0.05)
            if not self._stopping.is_set():
                self._start()
