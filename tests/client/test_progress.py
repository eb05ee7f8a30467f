"""A bar is for the person at the terminal; what a script prints goes where the script sends it."""

import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress

from denoised_client import Client

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.client.command import environment
from tests.conftest import until

WAITING = """\
import asyncio, sys
from denoised_client import AsyncClient

async def main():
    async with AsyncClient() as client:
        job = await client.job(sys.argv[1])
        waiting = asyncio.create_task(job.wait())
        await asyncio.sleep(0)  # until it awaits the service
        print("of the script", flush=True)
        await waiting

asyncio.run(main())
"""


def test_what_a_script_prints_beside_a_bar_is_in_its_output(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    with Client(api.url) as client:
        job = client.sample()
    read_end, terminal = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(read_end, shown))
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, job.id],
        env=environment(api.url, TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    ) as process:
        os.close(terminal)
        reader.start()
        until(lambda: b"0/1 images" in b"".join(shown))
        worker.finish(job.id)
        out, _ = process.communicate(timeout=60)
        reader.join()
    assert (process.returncode, out) == (0, "of the script\n")
    assert b"1/1 images" in b"".join(shown)


def _read_all(terminal: int, shown: list[bytes]) -> None:
    """Until nobody has the terminal open, which Linux tells as an error."""
    with suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as file:
        while part := file.read(65536):
            shown.append(part)
