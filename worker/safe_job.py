"""RQ jobs as data: a name on an allow-list, JSON arguments, nothing imported, nothing called back.

Access to Redis must not mean access to this process: RQ imports what a job's record names, calls
back what it names, and posts to the webhooks it names. None of that happens here.
"""

from collections.abc import Callable
from typing import Any

from rq.job import Job

from protocol.shard_queue import TASK


class ForbiddenTask(Exception):
    """A job in our queues names a function that is not ours."""


class SafeJob(Job):
    """A job that can only be the shard task; the worker sets `task` before it performs it."""

    task: Callable[..., Any]

    def restore(self, raw_data: Any) -> None:
        """Read a record, and forget what it wants called or notified."""
        super().restore(raw_data)
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
