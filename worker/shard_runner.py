"""One shard from claim to last commit: what an RQ job does here."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TypeVar

from protocol.counted import Count
from protocol.image_store import ImageStore
from protocol.job_store import Begun, Commit, JobStore, Lost, NotBegun
from protocol.logs import bind
from protocol.messages import JobError, ShardMessage
from protocol.preview_store import PreviewStore
from protocol.shard_queue import ShardQueue, rq_job_id
from protocol.states import JobState
from worker.company import Company
from worker.engine import Engine
from worker.persist import persist
from worker.png import encode
from worker.previews import Previews
from worker.resident import ResidentModel
from worker.row import Dropped, EngineFault, NotFinite, Pixels, Superseded, Ticket
from worker.tally import Tally
from worker.tickets import ticket_of

log = logging.getLogger(__name__)
ENCODER_THREADS = 2
ELSEWHERE_PAUSE_S = 1.0
DETAIL_CHARACTERS = 500
Answer = TypeVar("Answer")


class Outcome(StrEnum):
    """How a run of a shard ended, but for exceptions."""

    DONE = "done"
    CLOSED = "closed"  # the job has ended, or another worker has the shard
    GIVEN_BACK = "given_back"  # somebody else, or we later, must run it again
    SUSPECT = "suspect"  # not begun: it must have the engine to itself


OF_NOT_BEGUN = {
    NotBegun.CLOSED: Outcome.CLOSED,
    NotBegun.ELSEWHERE: Outcome.GIVEN_BACK,
    NotBegun.SUSPECT: Outcome.SUSPECT,
}
STOPPED = JobError(code="stopped", title="Stopped", detail="Stopped by RQ's stop-job command.")


def not_finite(index: int) -> JobError:
    """Of a job with an image that would show nothing, or anything."""
    detail = f"The chain of image {index} left the numbers (NaN or infinity)."
    return JobError(code="not_finite", title="Not finite", detail=detail)


@dataclass(eq=False)
class Run:
    """A shard in the engine, and its images on their way to Redis."""

    held: Begun
    ticket: Ticket = field(init=False)
    commits: list["Future[None]"] = field(default_factory=list)
    committed: int = 0
    context: Context = field(default_factory=copy_context)  # whose log lines these are

    @property
    def rq_id(self) -> str:
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
        self.draining, self._leaving = threading.Event(), threading.Event()
        self.tally = Tally()
        self._company = Company()
        self._name, self._model, self._engine = name, model, engine
        self._store, self._images = store, images
        self._pool = ThreadPoolExecutor(ENCODER_THREADS, thread_name_prefix="encode")
        self._previews = Previews(PreviewStore(store.redis), engine, self._pool)
        self._runs: dict[str, Run] = {}

    def run(self, message: dict[str, object], *, key: str) -> Outcome:
        """Run a shard until its images are committed, or it is no longer ours to run.

        `key` names this run of it: a worker thought dead may come to have the same shard twice.
        One that workers died with waits until it has the engine to itself. Raises Superseded where
        another run has it; pydantic.ValidationError where the message is not one of ours.
        """
        shard = ShardMessage.model_validate(message)
        outcome = self._attempt(shard, key, alone=False)
        if outcome is Outcome.SUSPECT:
            outcome = self._attempt(shard, key, alone=True)
        return outcome

    @property
    def wants_quiet(self) -> bool:
        """Whether a shard has, or waits to have, the engine to itself."""
        return self._company.wants_quiet

    def _attempt(self, shard: ShardMessage, key: str, *, alone: bool) -> Outcome:
        with self._company.entered(alone=alone) as is_in:
            if not is_in:
                return Outcome.GIVEN_BACK
            held = self._persist(
                lambda: self._store.begin_shard(
                    shard.job_id,
                    shard.shard,
                    run=f"{self._name} {key}",
                    engine=self._model.engine,
                    model_sha256=self._model.checkpoint.sha256,
                    alone=alone,
                )
            )
            if isinstance(held, Begun):
                return self._guarded(held, key)
        if held is NotBegun.ELSEWHERE:
            self.draining.wait(ELSEWHERE_PAUSE_S)
        return OF_NOT_BEGUN[held]

    def _guarded(self, held: Begun, key: str) -> Outcome:
        """Sample; where a step raised, say of whom it was, and leave the rest to the next run."""
        bind(job_id=held.job_id, shard=held.shard, request_id=held.request_id)
        self.tally.add(Count.BEGUN)
        self.tally.add(Count.RETRIED, held.epoch != "1")
        try:
            outcome = self._sample(held, key)
            log.info("shard %s in run %s", outcome.replace("_", " "), held.epoch)
            return outcome
        except EngineFault as fault:
            log.warning("the engine failed in run %s: %s", held.epoch, fault)
            detail = f"The engine failed while it ran this job and nothing else: {fault}"
            self._blame(held, detail[:DETAIL_CHARACTERS])
            return Outcome.GIVEN_BACK

    def _blame(self, held: Begun, detail: str) -> None:
        error = JobError(code="engine_fault", title="Engine fault", detail=detail)
        self._persist(lambda: self._store.crash_shard(held, error))

    def report(self) -> None:
        """Tell how far each shard is; drop those canceled, overdue, or another worker's by now."""
        runs = list(self._runs.values())
        for run in runs:
            status = self._store.report_steps(run.held, run.steps_in_flight)
            if status is Lost.FENCED:
                run.ticket.drop(Superseded("another run has it"))
            elif status is not JobState.RUNNING:
                run.ticket.drop(Dropped(f"job is {status}"))
        self._previews.renew((run.held.job_id, run.held.shard, run.ticket) for run in runs)

    def drop(self, key: str) -> None:
        """Take a run out of the engine: its lease is gone."""
        run = self._runs.get(key)
        if run is not None:
            run.ticket.drop(Superseded("its lease is lost"))

    def stop(self, rq_id: str) -> None:
        """End the job of an RQ job; with the next report its shards leave the engine."""
        for run in list(self._runs.values()):
            if run.rq_id == rq_id:
                self._fail(run.held, STOPPED)

    def give_all_back(self) -> None:
        """End every run early; each answers GIVEN_BACK."""
        self.stop_admitting()
        for run in list(self._runs.values()):
            run.ticket.drop(Dropped("draining"))

    def stop_admitting(self) -> None:
        """Whoever has not begun does not begin here."""
        self.draining.set()
        self._company.close()

    def leave(self) -> None:
        """Wait for Redis no longer: what it does not have by now is computed again elsewhere."""
        self._leaving.set()

    def _persist(self, write: Callable[[], Answer]) -> Answer:
        return persist(write, leaving=self._leaving)

    def _sample(self, held: Begun, key: str) -> Outcome:
        request, run = held.request, Run(held)
        try:
            run.ticket = self._persist(
                lambda: ticket_of(held, self._model, self._store, partial(self._deliver, run))
            )
        except ValueError as error:
            problem = JobError(code="invalid_request", title="Bad job", detail=str(error))
            self._fail(held, problem)
            return Outcome.CLOSED
        self._runs[key] = run
        try:
            outcome = self._await(run)
        finally:
            del self._runs[key]
        if outcome is Outcome.DONE:
            queue = ShardQueue(self._store.redis, request.model, request.priority)
            self._persist(lambda: queue.enqueue_after(held.job_id, held.shard, request.n))
        given_back = outcome is Outcome.GIVEN_BACK
        self.tally.add(Count.GIVEN_BACK, given_back)
        self._persist(lambda: self._store.leave_shard(held, given_back=given_back))
        return outcome

    def _await(self, run: Run) -> Outcome:
        """Sample, then see every commit through; a dropped run still stores what it finished."""
        outcome = Outcome.DONE
        if run.ticket.indices:
            run.ticket.first_step.add_done_callback(lambda _: self._note_first_step(run))
            self._engine.submit(run.ticket)
            try:
                run.ticket.done.result()
            except Superseded:
                raise
            except Dropped as why:
                log.info("%s left the batch: %s", run.rq_id, why)
                outcome = Outcome.GIVEN_BACK if self.draining.is_set() else Outcome.CLOSED
        for commit in run.commits:
            commit.result()
        return outcome

    def _note_first_step(self, run: Run) -> None:
        note = partial(self._store.first_step, run.held, time.time())
        run.commits.append(self._pool.submit(self._persist, note))

    def _deliver(self, run: Run, index: int, pixels: Pixels) -> None:
        """Called by the engine's thread: hand over, never work."""
        finish = partial(self._finish_image, run, index, pixels)
        run.commits.append(self._pool.submit(run.context.copy().run, finish))

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
        try:
            png, manifest = encode(pixels, index, request, provenance)
        except NotFinite:
            self._fail(held, not_finite(index))
            run.ticket.drop(Dropped("an image is none"))
            return
        self._persist(lambda: self._images.put(held, index, png))
        run.committed += 1
        verdict = self._persist(
            lambda: self._store.commit_image(held, manifest, steps_in_flight=run.steps_in_flight)
        )
        if verdict is Commit.COMMITTED:
            self.tally.add(Count.IMAGES)
            self.tally.add(Count.IMAGE_BYTES, len(png))
        if verdict is Commit.CLOSED:
            run.ticket.drop(Dropped("the job has ended"))
        if verdict is Commit.FENCED:
            self.tally.add(Count.FENCED)
            superseded = Superseded("another run has it")
            run.ticket.drop(superseded)
            raise superseded

    def _fail(self, held: Begun, error: JobError) -> None:
        self._persist(
            lambda: self._store.fail_job(held.job_id, held.shard, error, epoch=held.epoch)
        )
