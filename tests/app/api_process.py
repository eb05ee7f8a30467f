"""`python -m app`, as a process, over real HTTP."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2

from tests.conftest import ROOT, until

LISTENING = re.compile(r"running on (http://\S+)")


@dataclass
class ApiProcess:
    """Its address, and what it has logged."""

    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(
        cls, redis_url: str, *, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> Iterator[Self]:
        """Running, on a free port or this one; killed at the end if it has not left by itself."""
        process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=ROOT,
            env=os.environ
            | {"REDIS_URL": redis_url, "APP_PORT": str(port)}
            | dict(environment or {}),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        api = cls(process)
        reader = threading.Thread(target=api._collect)
        reader.start()
        try:
            yield api
        finally:
            process.kill()
            process.wait()
            reader.join()

    @property
    def url(self) -> str:
        return until(self._announced)

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=30)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def files(self) -> int:
        """How many it has open, sockets included."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def peak_mib(self) -> float:
        """The most memory it has had so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def _announced(self) -> str | None:
        found = LISTENING.search("".join(self.log))
        return found and found[1]

    def _collect(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log.extend(iter(lines.readline, ""))
