"""`denoised` as a process."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process has left."""

    status: int
    out: str
    err: str


def environment(url: str, **more: str) -> dict[str, str]:
    """For a process that finds the package where it is, and the service at `url`."""
    return os.environ | {"PYTHONPATH": str(ROOT / "client"), "DENOISED_URL": url} | more


def denoised(url: str, *arguments: str | Path, **more: str) -> Ended:
    """Run to its end."""
    ended = subprocess.run(
        [sys.executable, "-m", "denoised_client", *map(str, arguments)],
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def begun(url: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Started, with its standard error to read. Ctrl-C is for it, also where the tests were started
    in the background, for which shells have SIGINT ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "denoised_client", *map(str, arguments)],
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
