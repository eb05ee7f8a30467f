"""One shard from claim to last commit: what an RQ job does here."""

import logging
import threading
from enum import StrEnum
from functools import partial

from protocol.counted import Count
from protocol.image_store import ImageStore
from protocol.job_store import Begun, JobStore, Lost, NotBegun
from protocol.logs import bind
from protocol.messages import JobError, ShardMessage
from protocol.preview_store import PreviewStore
from protocol.shard_queue import ShardQueue
from protocol.states import JobState
from worker.commits import Commits, Run
from worker.company import Company
from worker.engine import Engine
from worker.persist import Persistence
from worker.previews import Previews
from worker.resident import ResidentModel
from worker.row import Dropped, EngineFault, Superseded
from worker.tally import Tally
from worker.tickets import ticket_of

log = logging.getLogger(__name__)
ELSEWHERE_PAUSE_S = 1.0
DETAIL_CHARACTERS = 500


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


class ShardRunner:
    """Feeds the engine and stores what comes out. Thread-safe: one call of `run` per thread."""

    def __init__(
        self, name: str, model: ResidentModel, engine: Engine, store: JobStore, images: ImageStore
    ) -> None:
        self.draining = threading.Event()
        self.tally = Tally()
        self._company, self._persist = Company(), Persistence()
        self._name, self._model, self._engine = name, model, engine
        self._store = store
        self._commits = Commits(model, store, images, tally=self.tally, persist=self._persist)
        self._previews = Previews(PreviewStore(store.redis), engine, self._commits.pool)
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
                self._commits.fail(run.held, STOPPED)

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
        self._persist.leave()

    def _sample(self, held: Begun, key: str) -> Outcome:
        request, run = held.request, Run(held)
        deliver = partial(self._commits.deliver, run)
        try:
            run.ticket = self._persist(lambda: ticket_of(held, self._model, self._store, deliver))
        except ValueError as error:
            problem = JobError(code="invalid_request", title="Bad job", detail=str(error))
            self._commits.fail(held, problem)
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
            run.ticket.first_step.add_done_callback(lambda _: self._commits.note_first_step(run))
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
        return Outcome.CLOSED if run.closed else outcome
