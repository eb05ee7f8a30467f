"""One shard from claim to last commit: what an RQ job does here."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TypeVar

from redis.exceptions import ConnectionError, OutOfMemoryError, TimeoutError

from protocol.image_store import ImageStore
from protocol.job_store import Begun, Commit, JobStore, NotBegun
from protocol.messages import JobError, JobRequest, ShardMessage
from protocol.preview_store import PreviewStore
from protocol.shard_queue import ShardQueue, rq_job_id, slots_of
from protocol.states import JobState
from worker.engine import Engine
from worker.png import encode, sheet
from worker.resident import ResidentModel
from worker.row import Deliver, Dropped, EngineFault, Pixels, Ticket
from worker.starts import starts

log = logging.getLogger(__name__)
URGENCY = {"high": 0, "normal": 1, "low": 2}
ENCODER_THREADS = 2
ELSEWHERE_PAUSE_S = 1.0
PREVIEWED = 16  # images of a job at most
LOOK_S = 5.0
RETRY_FIRST_S, RETRY_LONGEST_S = 0.1, 2.0
Answer = TypeVar("Answer")


class Outcome(StrEnum):
    """How a run of a shard ended, but for exceptions."""

    DONE = "done"
    CLOSED = "closed"  # the job has ended, or another worker has the shard
    GIVEN_BACK = "given_back"  # somebody else, or we later, must run it again


@dataclass(eq=False)
class Run:
    """A shard in the engine, and its images on their way to Redis."""

    held: Begun
    ticket: Ticket = field(init=False)
    commits: list["Future[None]"] = field(default_factory=list)
    committed: int = 0

    @property
    def key(self) -> str:
        """The id of the RQ job that runs it."""
        return rq_job_id(self.held.job_id, self.held.shard)

    @property
    def steps_in_flight(self) -> int:
        """Steps taken by rows that are not yet images of the job."""
        return max(0, self.ticket.steps_taken - self.committed * self.ticket.steps)


class ShardRunner:
    """Feeds the engine and stores what comes out. Thread-safe: one call of `run` per thread."""

    def __init__(
        self, name: str, model: ResidentModel, engine: Engine, store: JobStore, images: ImageStore
    ) -> None:
        self.draining = threading.Event()
        self._name, self._model, self._engine = name, model, engine
        self._store, self._images = store, images
        self._previews = PreviewStore(store.redis)
        self._pool = ThreadPoolExecutor(ENCODER_THREADS, thread_name_prefix="encode")
        self._runs: dict[str, Run] = {}

    def run(self, message: dict[str, object]) -> Outcome:
        """Run a shard until its images are committed, or it is no longer ours to run.

        Raises EngineFault where a step raised; pydantic.ValidationError where the message is not
        one of ours.
        """
        shard = ShardMessage.model_validate(message)
        held = self._store.begin_shard(
            shard.job_id,
            shard.shard,
            worker=self._name,
            engine=self._model.engine,
            model_sha256=self._model.checkpoint.sha256,
        )
        if held is NotBegun.ELSEWHERE:
            self.draining.wait(ELSEWHERE_PAUSE_S)
            return Outcome.GIVEN_BACK
        if isinstance(held, NotBegun):
            return Outcome.CLOSED
        try:
            return self._sample(held)
        except EngineFault:
            self._store.leave_shard(held)
            raise

    def report(self) -> None:
        """Tell how far each shard is; drop those canceled, overdue, or another worker's by now."""
        runs = list(self._runs.values())
        for run in runs:
            status = self._store.report_steps(run.held, run.steps_in_flight)
            if status is not JobState.RUNNING:
                run.ticket.drop(Dropped(f"job is {status or 'no longer ours'}"))
        watched = self._previews.watched({run.held.job_id for run in runs})
        for job_id in watched:
            first = min(
                (run for run in runs if run.held.job_id == job_id), key=lambda run: run.held.shard
            )
            self._pool.submit(self._show, first)

    def drop(self, key: str, why: str) -> None:
        """Take the shard of one RQ job out of the engine."""
        run = self._runs.get(key)
        if run is not None:
            run.ticket.drop(Dropped(why))

    def give_all_back(self) -> None:
        """End every run early; each answers GIVEN_BACK."""
        self.draining.set()
        for run in list(self._runs.values()):
            run.ticket.drop(Dropped("draining"))

    def _sample(self, held: Begun) -> Outcome:
        request, run = held.request, Run(held)
        try:
            run.ticket = self._ticket(held, partial(self._deliver, run))
        except ValueError as error:
            problem = JobError(code="invalid_request", title="Bad job", detail=str(error))
            self._store.fail_job(held.job_id, held.shard, problem, epoch=held.epoch)
            return Outcome.CLOSED
        self._runs[run.key] = run
        try:
            outcome = self._await(run)
        finally:
            del self._runs[run.key]
        if outcome is Outcome.DONE:
            queue = ShardQueue(self._store.redis, request.model, request.priority)
            persist(lambda: queue.enqueue_after(held.job_id, held.shard, request.n))
        given_back = outcome is Outcome.GIVEN_BACK
        persist(lambda: self._store.leave_shard(held, given_back=given_back))
        return outcome

    def _ticket(self, held: Begun, deliver: Deliver) -> Ticket:
        """The shard's rows, but for images an earlier run of it has committed.

        Raises ValueError where this worker cannot run the job.
        """
        request = held.request
        if request.model != self._model.name:
            raise ValueError(f"model: this worker serves {self._model.name}, not {request.model}")
        plan = self._model.plan(request.sampler, start_t=request.t)
        all_indices = [request.first_index + slot for slot in slots_of(held.shard, request.n)]
        there = self._store.manifests(held.job_id, all_indices)
        indices = tuple(i for i in all_indices if i not in there)
        pixels = self._store.sources(held.job_id) if request.sources else {}
        return Ticket(
            job_id=held.job_id,
            tenant=held.tenant,
            urgency=URGENCY[request.priority],
            plan=plan,
            steps=plan.steps,
            seed=request.seed,
            indices=indices,
            deliver=deliver,
            starts=starts(request, pixels, plan, self._model.shape, indices),
            classes=self._classes(request, indices),
            guidance=1.0 if request.guidance is None else request.guidance,
        )

    def _classes(self, request: JobRequest, indices: Iterable[int]) -> dict[int, int]:
        """The number of each image's label. Raises ValueError where the model has no such label."""
        if request.labels is None:
            return {}
        numbers = {label: number for number, label in enumerate(self._model.labels)}
        unknown = sorted(set(request.labels) - numbers.keys())
        if unknown:
            raise ValueError(f"labels: {self._model.name} has no {unknown[0]}")
        return {index: numbers[str(request.label_of(index))] for index in indices}

    def _await(self, run: Run) -> Outcome:
        """Sample, then see every commit through; a dropped run still stores what it finished."""
        outcome = Outcome.DONE
        if run.ticket.indices:
            run.ticket.first_step.add_done_callback(lambda _: self._note_first_step(run))
            self._engine.submit(run.ticket)
            try:
                run.ticket.done.result()
            except Dropped as why:
                log.info("%s left the batch: %s", run.key, why)
                outcome = Outcome.GIVEN_BACK if self.draining.is_set() else Outcome.CLOSED
        for commit in run.commits:
            commit.result()
        return outcome

    def _note_first_step(self, run: Run) -> None:
        at = time.time()
        run.commits.append(self._pool.submit(self._store.first_step, run.held, at))

    def _deliver(self, run: Run, index: int, pixels: Pixels) -> None:
        """Called by the engine's thread: hand over, never work."""
        run.commits.append(self._pool.submit(self._finish_image, run, index, pixels))

    def _show(self, run: Run) -> None:
        """A sheet of what the shard's first images look like. One lost is no harm."""
        try:
            images = self._engine.look(run.ticket, most=PREVIEWED).result(timeout=LOOK_S)
            if images:
                self._previews.put(run.held.job_id, run.held.shard, sheet(images))
        except (ConnectionError, TimeoutError, OutOfMemoryError, FutureTimeoutError) as error:
            log.info("no preview of %s: %r", run.key, error)

    def _finish_image(self, run: Run, index: int, pixels: Pixels) -> None:
        """Encode, store the blob, then commit: an image is listed only once it can be fetched."""
        held, request = run.held, run.held.request
        provenance = {
            "model": self._model.name,
            "model_sha256": self._model.checkpoint.sha256,
            "engine": self._model.engine,
            "precision": self._model.numerics.precision,
            "mode": self._model.numerics.mode,
        }
        png, manifest = encode(pixels, index, request, provenance)
        persist(lambda: self._images.put(held, index, png))
        run.committed += 1
        verdict = persist(
            lambda: self._store.commit_image(held, manifest, steps_in_flight=run.steps_in_flight)
        )
        if verdict in (Commit.FENCED, Commit.CLOSED):
            run.ticket.drop(Dropped(f"commit was refused: {verdict}"))


def persist(write: Callable[[], Answer]) -> Answer:
    """Repeat an idempotent write while Redis is away or full: what was computed is not lost."""
    pause_s = RETRY_FIRST_S
    while True:
        try:
            return write()
        except (ConnectionError, TimeoutError, OutOfMemoryError) as error:
            log.warning("write refused, again in %.1f s: %s", pause_s, error)
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, RETRY_LONGEST_S)
