"""RQ jobs as data: a name on an allow-list, JSON arguments, nothing imported, nothing called back.

Access to Redis must not mean access to this process: RQ imports what a job's record names, calls
back what it names, and posts to the webhooks it names. None of that happens here.
"""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.job import Job

from protocol.shard_queue import TASK


class ForbiddenTask(Exception):
    """A job in our queues names a function that is not ours."""


class SafeJob(Job):
    """A job that can only be the shard task; the worker sets `task` before it performs it."""

    task: Callable[..., Any]

    def refresh(self) -> None:
        """Read the record. Raises NoSuchJobError where there is none, or none that can be read."""
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise NoSuchJobError(f"{self.key} is no record of a job") from error

    def restore(self, raw_data: Any) -> None:
        """Take over a record, and forget what it wants called or notified.

        Raises NoSuchJobError where it cannot be read: RQ then goes on with the next.
        """
        try:
            super().restore(raw_data)
        except Exception as error:  # no I/O in there: whatever it trips over is in the record
            raise NoSuchJobError(f"{self.key} cannot be read: {error}") from error
        self._success_callback_name = None
        self._failure_callback_name = None
        self._stopped_callback_name = None
        self.webhooks = []

    @property
    def func(self) -> Callable[..., Any]:
        """The worker's own method, by a name that is never imported. Raises ForbiddenTask."""
        if self.func_name != TASK or self.instance is not None:
            raise ForbiddenTask(f"{self.func_name!r} is not a task of this worker")
        return self.task
