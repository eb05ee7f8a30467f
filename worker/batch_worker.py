"""Many RQ jobs in flight in one process, around one resident model.

RQ's own `perform_job` runs in one small thread per job, so status, result and retry are RQ's code;
the job's function hands rows to the engine and waits. What is ours: an atomic claim, short leases
with heartbeats, a fence before every terminal write, and a drain that gives work back.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry as Again
from rq import Queue, Retry
from rq.command import handle_command, parse_payload
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.worker import WorkerStatus

from protocol import keys
from protocol.counted import Count
from protocol.shard_queue import RUNS_ALLOWED
from protocol.trouble import passing_trouble
from worker.claim_order import claim_order
from worker.gpus import take_gpu
from worker.heartbeat import Heartbeat
from worker.leases import LEASE_S, LeasedWorker
from worker.reaper import EVERY_S as REAP_EVERY_S
from worker.resident import ResidentModel
from worker.safe_job import SafeJob
from worker.service import WorkerService, load_apart
from worker.settings import WorkerSettings
from worker.shard_runner import Outcome

log = logging.getLogger(__name__)
IDLE_WAIT_S = 0.5  # how long an idle worker waits for a wake hint before it looks anyway
MAX_SHARDS = 128  # a job has 4 at most in RQ, so 32 large ones share the engine at once
PAUSE_AHEAD_S = 0.05  # between claims beyond what fits in a step: an idle worker goes first
BACK_OFF_S = 0.2
LAST_WRITES_S = 2.0  # after the grace, to give back what runs
RECONNECTS = 3  # of a command at once; what matters is repeated until it succeeds (`persist`)


class BatchWorker(LeasedWorker):
    """An RQ worker that claims shards while its engine has room, and never forks."""

    job_class = SafeJob
    service: WorkerService

    def __init__(self, queues: Sequence[str | Queue], *args: Any, **kwargs: Any) -> None:
        """As RQ's; whatever was asked for, records are read as JSON and run as SafeJobs."""
        names = [queue if isinstance(queue, str) else queue.name for queue in queues]
        super().__init__(
            names, *args, **(kwargs | {"serializer": JSONSerializer, "job_class": SafeJob})
        )
        pauses = ExponentialWithJitterBackoff(cap=0.5, base=0.05)
        self.connection.set_retry(Again(pauses, RECONNECTS, supported_errors=(ConnectionError,)))
        # One for each shard that runs, and some: the pool's own limit would stop the heartbeat.
        self.connection.connection_pool.max_connections = MAX_SHARDS + 16

    @property
    def dequeue_timeout(self) -> int:
        """Only bounds RQ's socket timeout here; the loop never blocks on a queue."""
        return 1

    @property
    def connection_timeout(self) -> int:
        """Seconds after which a silent Redis is taken for dead."""
        return 10

    # -- the loop -------------------------------------------------------------------------------

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Load the model, then claim and run until asked to stop; then drain.

        True if any shard was run. Raises CannotStart where there is no model to serve.
        """
        settings = WorkerSettings()
        self._set_up(self.load(settings), grace_s=settings.grace_s)
        self.bootstrap(*args, **kwargs)
        self._install_signal_handlers()  # type: ignore[no-untyped-call]
        self._heart.start()
        self.service.start()
        try:
            worked = self._claim_until_told()
            self._drain()
        finally:
            self._heart.stop(patience_s=LEASE_S)
            self._say_goodbye()
        return worked

    def _set_up(self, model: ResidentModel, *, grace_s: float) -> None:
        self._claims = 0
        self._lock, self._threads = threading.Lock(), dict[str, threading.Thread]()
        self.service = WorkerService(
            self.name, self.connection, self.queues, model, grace_s=grace_s
        )
        self._heart = Heartbeat(
            self._beat,
            self.service.tidy,
            report=self.service.report,
            fault=self.service.fault,
            tidy_every_s=REAP_EVERY_S,
        )

    def load(self, settings: WorkerSettings) -> ResidentModel:
        """The model to serve, on a GPU of our own where there are any. Raises CannotStart."""
        self._gpu = None if settings.device == "cpu" else take_gpu(settings.data_dir)
        return load_apart(settings)

    def _say_goodbye(self) -> None:
        """Take the name off all lists; without a Redis to tell, it is forgotten by itself."""
        with passing_trouble("left without a word"):
            self.service.stop()
            self.teardown()  # type: ignore[no-untyped-call]

    def _claim_until_told(self) -> bool:
        """Whether any shard was claimed. What we have no name for is a fault: others claim on."""
        claimed = False
        try:
            while not self._stop_requested and not self.service.faulted:
                claimed |= self._claim_or_wait()
        except Exception:
            log.exception("claiming failed: what runs goes back to its queue")
            self.service.fault()
        return claimed

    def _claim_or_wait(self) -> bool:
        """One shard, or a short wait; trouble with Redis is waited out."""
        with passing_trouble("no claims while Redis is in trouble"):
            return self._claim_one()
        time.sleep(BACK_OFF_S * random.uniform(0.5, 1.0))
        return False

    def _claim_one(self) -> bool:
        if self._has_enough() or is_suspended(self.connection, self):
            time.sleep(PAUSE_AHEAD_S)
            return False
        if self.service.is_full:
            time.sleep(PAUSE_AHEAD_S)
        taken = self._next_job()
        if taken is None:
            self.connection.blpop([keys.wake(self.service.model.name)], timeout=IDLE_WAIT_S)
            return False
        self.execute_job(*taken)
        return True

    def _has_enough(self) -> bool:
        return len(self._threads) >= MAX_SHARDS or self.service.shards.wants_quiet

    def _next_job(self) -> tuple[Job, Queue] | None:
        """The front of the first queue that has one.

        One queue at a time: only then does RQ move the job to an intermediate list, from where it
        is put back if we die before the claim.
        """
        for queue in claim_order(self.queues, self._claims):
            try:
                taken = queue.dequeue_any(
                    [queue], None, self.connection, job_class=SafeJob, serializer=self.serializer
                )
            except ValueError:  # no text, or no id that RQ allows: the reaper takes it away
                log.warning("%s: an entry that is no id", queue.name)
                continue
            if taken is not None:
                self._claims += 1
                return taken
        return None

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Claim, then run in a thread of its own."""
        execution = self.claim(job)
        if execution is None:
            return
        cast(SafeJob, job).task = partial(self._task, execution.id)
        if self.get_state() != WorkerStatus.BUSY:
            self.set_state(WorkerStatus.BUSY)
        thread = threading.Thread(
            target=self._perform, args=(job, queue, execution), name=job.id, daemon=True
        )
        with self._lock:
            self._threads[execution.id] = thread
        thread.start()

    def _perform(self, job: Job, queue: Queue, execution: Execution) -> None:
        try:
            with passing_trouble(f"{job.id}: its end could not be recorded; it will run again"):
                self.perform_job(job, queue, execution)
        finally:
            self.executions.pop(execution.id, None)
            with self._lock:
                del self._threads[execution.id]
                idle = not self._threads
            if idle and not self._stop_requested:
                with passing_trouble("state not recorded"):
                    self.set_state(WorkerStatus.IDLE)

    def _task(self, execution_id: str, message: dict[str, object]) -> str | Retry:
        """What SafeJob runs. A shard given back goes to the front of its queue, uncounted."""
        outcome = self.service.shards.run(message, key=execution_id)
        if outcome is Outcome.GIVEN_BACK:
            return Retry(max=RUNS_ALLOWED, enqueue_at_front=True)
        return outcome.value

    def _beat(self) -> None:
        """Renew the leases, drop what has lost its own, and say that we live."""
        for execution_id in self.renew_leases():
            self.service.shards.drop(execution_id)
        self.service.heartbeat()

    # -- stopping -------------------------------------------------------------------------------

    def _shutdown(self) -> None:
        """Only note it: RQ's own raises out of the signal handler and can cut a transaction."""
        self._stop_requested = True

    def _drain(self) -> None:
        """Let what runs finish for a grace period, then give the rest back.

        After a fault nothing runs any more.
        """
        grace_s = 0.0 if self.service.faulted else self.service.grace_s
        self.service.shards.tally.add(Count.DRAINS, not self.service.faulted)
        self._join_all(time.monotonic() + grace_s)
        if self._threads:
            log.info("%d shards go back to their queue", len(self._threads))
            self.service.shards.give_all_back()
            self._join_all(time.monotonic() + LAST_WRITES_S)
        self.service.shards.leave()

    def _join_all(self, deadline: float) -> None:
        for thread in list(self._threads.values()):
            thread.join(max(0.0, deadline - time.monotonic()))

    # -- commands -------------------------------------------------------------------------------

    def handle_payload(self, message: Any) -> None:
        """RQ's commands by pub/sub; `stop-job` names one of many."""
        payload = parse_payload(message)
        if payload.get("command") == "stop-job":
            self.service.shards.stop(str(payload.get("job_id")))
        elif payload.get("command") == "shutdown":
            self._shutdown()  # RQ's raises a signal, and a second one cuts the drain short
        else:
            handle_command(self, payload)

    def request_stop_execution(self, execution_id: str) -> None:
        """Stop one execution by its own id."""
        execution = self.executions.get(execution_id)
        if execution is not None:
            self.service.shards.stop(execution.job_id)
