"""`python -m launch.up` and its like, as a user starts them."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import ROOT, until


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


@dataclass
class Launcher:
    """A launcher under way, and what it has said."""

    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, module: str, **environment: str) -> Iterator[Self]:
        """Killed at the end if it has not left by itself; its children go with it."""
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "REDIS_URL"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        launcher = cls(process)
        reader = threading.Thread(target=launcher._collect)
        reader.start()
        try:
            yield launcher
        finally:
            process.kill()
            process.wait()
            reader.join()

    def until_said(self, words: str) -> str:
        """The first line with these words."""
        return until(lambda: next((line for line in self.said if words in line), None))

    def children(self) -> dict[str, int]:
        """Pids of what it has started."""
        return started_by(self.process.pid)

    def ctrl_c(self) -> int:
        """Its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.said.extend(iter(lines.readline, ""))


def alive(pid: int) -> bool:
    """Whether a process is there, and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started_by(pid: int) -> dict[str, int]:
    """Pids of a launcher's children, by the last word that tells them apart."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {_command(int(child)): int(child) for child in found}


def _command(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return "redis" if "server" in words[0] else words[2]
