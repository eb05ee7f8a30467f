"""`python -m webhooks`, as a process."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.conftest import ROOT

LENIENT = {  # to this machine, by plain HTTP, on any port
    "WEBHOOK_ALLOW_HTTP": "true",
    "WEBHOOK_NETWORKS": "127.0.0.0/8",
    "WEBHOOK_PORTS": "1-65535",
}


@dataclass
class SenderProcess:
    """A sender under way, and what it has logged."""

    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, redis_url: str, data_dir: Path, **environment: str) -> Iterator[Self]:
        """Killed at the end if it has not left by itself."""
        process = subprocess.Popen(
            [sys.executable, "-m", "webhooks"],
            cwd=ROOT,
            env=os.environ
            | {"REDIS_URL": redis_url, "DATA_DIR": str(data_dir)}
            | LENIENT
            | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        sender = cls(process)
        reader = threading.Thread(target=sender._collect)
        reader.start()
        try:
            yield sender
        finally:
            process.kill()
            process.wait()
            reader.join()

    def kill(self) -> None:
        """SIGKILL, and gone."""
        self.process.kill()
        self.process.wait()

    def leave(self) -> int:
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.log)

    def _collect(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.log.extend(iter(lines.readline, ""))
