"""From pixels to a committed image, beside the engine and out of its way."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial

from protocol.counted import Count
from protocol.image_store import ImageStore
from protocol.job_store import Begun, Commit, JobStore
from protocol.messages import ImageManifest, JobError
from protocol.shard_queue import rq_job_id
from worker.persist import Persistence
from worker.png import encode
from worker.resident import ResidentModel
from worker.row import Dropped, NotFinite, Pixels, Superseded, Ticket
from worker.tally import Tally

ENCODER_THREADS = 2


@dataclass(eq=False)
class Run:
    """A shard in the engine, and its images on their way to Redis."""

    held: Begun
    ticket: Ticket = field(init=False)
    commits: list["Future[None]"] = field(default_factory=list)
    committed: int = 0
    closed: bool = False  # a commit has found that the job has ended
    context: Context = field(default_factory=copy_context)  # whose log lines these are

    @property
    def rq_id(self) -> str:
        """The id of the RQ job that runs it."""
        return rq_job_id(self.held.job_id, self.held.shard)

    @property
    def steps_in_flight(self) -> int:
        """Steps taken by rows that are not yet images of the job."""
        return max(0, self.ticket.steps_taken - self.committed * self.ticket.steps)


def not_finite(index: int) -> JobError:
    """Of a job with an image that would show nothing, or anything."""
    detail = f"The chain of image {index} left the numbers (NaN or infinity)."
    return JobError(code="not_finite", title="Not finite", detail=detail)


class Commits:
    """What the engine hands over is done in a few threads; a run's `commits` say when."""

    def __init__(
        self,
        model: ResidentModel,
        store: JobStore,
        images: ImageStore,
        *,
        tally: Tally,
        persist: Persistence,
    ) -> None:
        self.pool = ThreadPoolExecutor(ENCODER_THREADS, thread_name_prefix="encode")
        self._store, self._images = store, images
        self._tally, self._persist = tally, persist
        self._provenance = {
            "model": model.name,
            "model_sha256": model.checkpoint.sha256,
            "engine": model.engine,
            "precision": model.numerics.precision,
            "mode": model.numerics.mode,
        }

    def note_first_step(self, run: Run) -> None:
        """Called by the engine's thread, as `deliver` is: hand over, never work there."""
        note = partial(self._store.first_step, run.held, time.time())
        run.commits.append(self.pool.submit(self._persist, note))

    def deliver(self, run: Run, index: int, pixels: Pixels) -> None:
        """An image of the run is drawn."""
        finish = partial(self._finish, run, index, pixels)
        run.commits.append(self.pool.submit(run.context.copy().run, finish))

    def fail(self, held: Begun, error: JobError) -> None:
        """End the job of a shard as failed."""
        self._persist(
            lambda: self._store.fail_job(held.job_id, held.shard, error, epoch=held.epoch)
        )

    def _finish(self, run: Run, index: int, pixels: Pixels) -> None:
        """Encode, store the blob, then commit: an image is listed only once it can be fetched."""
        try:
            png, manifest = encode(pixels, index, run.held.request, self._provenance)
        except NotFinite:
            self.fail(run.held, not_finite(index))
            run.ticket.drop(Dropped("an image is none"))
            return
        self._persist(lambda: self._images.put(run.held, index, png))
        run.committed += 1
        self._heed(self._commit(run, manifest), run, png)

    def _commit(self, run: Run, manifest: ImageManifest) -> Commit:
        return self._persist(
            lambda: self._store.commit_image(
                run.held, manifest, steps_in_flight=run.steps_in_flight
            )
        )

    def _heed(self, verdict: Commit, run: Run, png: bytes) -> None:
        """Count what is committed; leave the engine where nothing more would be."""
        if verdict is Commit.COMMITTED:
            self._tally.add(Count.IMAGES)
            self._tally.add(Count.IMAGE_BYTES, len(png))
        if verdict is Commit.CLOSED:
            run.closed = True  # all may be drawn by now, and nothing left to drop
            run.ticket.drop(Dropped("the job has ended"))
        if verdict is Commit.FENCED:
            self._tally.add(Count.FENCED)
            superseded = Superseded("another run has it")
            run.ticket.drop(superseded)
            raise superseded
