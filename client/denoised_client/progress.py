"""A job's progress on the terminal, on stderr."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from denoised_client.resources import JobSnapshot

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f} %"),
    TextColumn("{task.fields[images]}"),
    TimeElapsedColumn(),
    TextColumn("{task.fields[left]}"),
)


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Shown while the context lasts; `shown` None means: if stderr is a terminal."""

    def __init__(self, shown: bool | None) -> None:
        self.is_shown = sys.stderr.isatty() if shown is None else shown
        console = Console(stderr=True)
        self._progress = Progress(
            *COLUMNS,
            console=console,
            disable=not self.is_shown,
            transient=console.is_terminal,
            # What is printed into a file, or a pipe, belongs there and not above the bar.
            redirect_stdout=self.is_shown and sys.stdout.isatty(),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, job: JobSnapshot) -> None:
        """How far it is now."""
        now = job.progress
        if self._task is None:
            self._task = self._progress.add_task("", images="", left="")
        self._progress.update(
            self._task,
            description=job.status,
            completed=now.steps_done,
            total=now.steps_total,
            images=f"{now.images_done}/{now.images_total} images",
            left=_left(job),
        )


def _left(job: JobSnapshot) -> str:
    if job.progress.queue_position is not None:
        return f"{job.progress.queue_position} before it"
    return "" if job.progress.eta_s is None else f"{job.progress.eta_s:.0f} s left"
