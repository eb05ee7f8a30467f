"""`python -m launch.demo`: start everything, draw 16 images, stop everything. `make demo` is this.

Nothing is left behind but the pictures in OUT.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from launch.child import EXIT_BAD_SETTINGS
from launch.redis_server import RedisError
from launch.server import DrawError, Server
from launch.settings import DemoSettings, SettingsError, UpSettings, check_model, free_port
from launch.stack import service
from launch.supervisor import Supervisor, leave_on_signals

REQUEST = {"n": 16, "seed": 42, "sampler": {"name": "ddim", "steps": 50}}


def main() -> int:
    """Exit status: 0 with the pictures in OUT, 2 for settings, 1 otherwise, 130 after Ctrl-C."""
    leave_on_signals()
    console = Console()
    log: list[str] = []
    try:
        settings = DemoSettings()
        check_model(settings.model)
        status = _demo(settings, console, log.append)
    except (SettingsError, ValidationError, RedisError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_BAD_SETTINGS
    except (DrawError, httpx2.TransportError, OSError) as error:
        console.print(f"no pictures: {error}", style="red", markup=False, soft_wrap=True)
        status = 1
    except KeyboardInterrupt:
        return 130
    if status:
        console.print("\n".join(log), markup=False, highlight=False, soft_wrap=True)
    return status


def _demo(settings: DemoSettings, console: Console, say: Callable[[str], None]) -> int:
    """The whole service in a folder that is gone afterwards."""
    begun_s = time.monotonic()
    supervisor = Supervisor(say)
    settings.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="denoised-") as folder:
        stack = UpSettings(
            port=free_port(),
            host="127.0.0.1",
            data_dir=Path(folder),
            model=settings.model,
            workers=1,
            redis_url=None,
        )
        with service(stack, supervisor, restarts=False) as url:
            supervisor.beside(lambda: _draw_when_ready(url, settings.out, supervisor, console))
            status = supervisor.run()
    if status == 0:
        console.print(f"done in {time.monotonic() - begun_s:.1f} s, everything stopped again")
    return status


def _draw_when_ready(url: str, out: Path, supervisor: Supervisor, console: Console) -> int | None:
    with Server(url) as server:
        with console.status("starting Redis, API and worker ..."):
            if not server.wait_until_ready(supervisor.leaving):
                return None
        console.print(f"ready: POST {url}/v1/jobs {json.dumps(REQUEST)}", soft_wrap=True)
        job = _drawn(server, console)
        _save(server, job, out)
        console.print(f"{len(job['images'])} images and {out / 'grid.png'} written to {out}/")
    return 0


def _drawn(server: Server, console: Console) -> dict[str, Any]:
    """The finished job, its progress shown. Raises DrawError where it did not succeed."""
    job = server.submit(REQUEST)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TextColumn("steps"), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("drawing", total=job["progress"]["steps_total"])
        for seen in server.follow(job):
            progress.update(bar, completed=seen["progress"]["steps_done"])
            job = seen
    if job["status"] != "succeeded":
        raise DrawError(f"the job {job['status']}: {job['error']}")
    return job


def _save(server: Server, job: dict[str, Any], out: Path) -> None:
    for image in job["images"]:
        (out / f"{image['index']:02}.png").write_bytes(server.png(image["url"]))
    (out / "grid.png").write_bytes(server.png(job["urls"]["grid"]))


if __name__ == "__main__":
    sys.exit(main())
