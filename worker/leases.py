"""Leases on RQ jobs: an atomic claim, heartbeats, and a fence before every terminal write.

Stock RQ leases a SimpleWorker's job for its whole timeout and a minute more; here a worker that is
silent for ten seconds is taken for dead, and what it says afterwards is discarded.
"""

import logging
import sys
from typing import Any

from redis.exceptions import RedisError, WatchError
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.timeouts import BaseDeathPenalty
from rq.utils import now

from protocol.trouble import passes
from worker.row import Superseded

log = logging.getLogger(__name__)
LEASE_S = 10


class NoDeathPenalty(BaseDeathPenalty):
    """RQ's timeouts are signals, for the main thread and one job; deadlines are ours to keep."""

    def setup_death_penalty(self) -> None:
        """Nothing to set up."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class LeasedWorker(SimpleWorker):
    """A worker with many executions at once, each of them its own only while its lease stands."""

    death_penalty_class = NoDeathPenalty

    def get_heartbeat_ttl(self, job: Any, working_time: float = 0.0) -> int:
        """The lease: a job whose worker is silent this long is run again elsewhere."""
        return LEASE_S

    def claim(self, job: Job) -> Execution | None:
        """Take a job under WATCH: only if it is still queued, and so only once."""
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(job.key)  # type: ignore[no-untyped-call]
                    queued = pipe.hget(job.key, "status") == JobStatus.QUEUED.value.encode()
                    pipe.multi()
                    pipe.lrem(Queue(job.origin, connection=pipe).intermediate_queue_key, 1, job.id)
                    if queued:
                        execution = Execution.create(job, LEASE_S, pipe, worker_name=self.name)
                        job.prepare_for_execution(self.name, pipeline=pipe)
                        pipe.persist(job.key)
                    pipe.execute()
                    break
                except WatchError:
                    continue
        if not queued:
            log.warning("%s: stale queue entry dropped", job.id)
            return None
        self.executions[execution.id] = execution
        return execution

    def _owns(self, execution: Execution | None) -> bool:
        """Whether our lease still stands; what a worker thought dead has to say is discarded."""
        if execution is None:
            return True
        registry = StartedJobRegistry.key_template.format(execution.job.origin)
        held = self.connection.zscore(registry, execution.composite_key) is not None
        if not held:
            log.warning("%s: lease lost, outcome discarded", execution.job_id)
        return held

    def handle_job_success(
        self, job: Any, queue: Any, started_job_registry: Any, execution: Any
    ) -> None:
        """RQ's, behind the fence."""
        if self._owns(execution):
            super().handle_job_success(job, queue, started_job_registry, execution)

    def handle_job_retry(
        self, job: Any, queue: Any, retry: Any, started_job_registry: Any, execution: Any
    ) -> None:
        """RQ's, behind the fence."""
        if self._owns(execution):
            super().handle_job_retry(job, queue, retry, started_job_registry, execution)

    def handle_job_failure(
        self,
        job: Any,
        queue: Any,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Any = None,
    ) -> None:
        """RQ's, behind the fence. Where Redis was in the way it runs again; a bug fails at once."""
        if not self._owns(execution):
            return
        error = sys.exception()
        if isinstance(error, Superseded):
            with self.connection.pipeline() as pipe:
                self.cleanup_execution(job, pipeline=pipe, execution=execution)
                pipe.execute()
            return
        if not (isinstance(error, RedisError) and passes(error)):
            job.retries_left = None
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)

    def renew_leases(self) -> list[str]:
        """Renew every lease in two round trips; returns the executions that have none any more."""
        executions = list(self.executions.values())
        with self.connection.pipeline(transaction=False) as pipe:
            for execution in executions:
                pipe.zscore(execution.job.started_job_registry.key, execution.composite_key)
            held = pipe.execute()
            self.heartbeat(pipeline=pipe)
            for execution, score in zip(executions, held, strict=True):
                if score is not None:
                    registry = execution.job.started_job_registry
                    execution.heartbeat(registry, LEASE_S, pipeline=pipe)
                    execution.job.heartbeat(now(), LEASE_S, pipeline=pipe, xx=True)
            pipe.execute()
        return [e.id for e, score in zip(executions, held, strict=True) if score is None]
