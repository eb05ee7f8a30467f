"""How jobs come to be: resolved, admitted, queued. Sync: handlers call it from a thread."""

import copy
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from app import tasks
from app.cost import dry_run
from app.errors import IdempotencyKeyReused
from app.idempotency import Named
from app.images import ImageService
from app.keys import NO_QUOTAS, Quotas
from app.new_job import engine_to_wait_for, new_job
from app.quotas import bounds_of, refusal
from app.resolve import choose_model, resolve
from app.resources.jobs import DryRun
from app.room import Room
from app.schemas import JobSubmission
from app.shortages import NoWorker
from app.source_images import SourceImages
from app.verify import SOURCE, to_verify
from protocol.admission import Bound, NotAdmitted
from protocol.idempotency import NameTaken, Once
from protocol.job_intake import JobIntake, first_shards
from protocol.job_record import DEFAULT_TENANT, NewJob
from protocol.job_store import JobStore
from protocol.messages import MAX_SEED, Claim, JobRequest, ModelInfo
from protocol.registry import Registry
from protocol.webhook_policy import WebhookPolicy


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is in Redis: by this submission, or by an earlier one of the same name."""

    job_id: str
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A job as it would run, with the pixels that its chains start from, or that it verifies."""

    request: JobRequest
    model: ModelInfo
    pixels: Mapping[str, bytes]
    claim: Claim | None = None
    engine: str = ""  # that alone may begin it


class SubmissionService:
    """Submit, rehearse, verify, as a tenant may.

    `submitting` is the client that never repeats.
    """

    tenant = DEFAULT_TENANT
    quotas = NO_QUOTAS
    request_id = ""  # of whom it acts for, for logs

    def __init__(
        self,
        redis: Redis,
        *,
        submitting: Redis,
        webhook_policy: WebhookPolicy,
        max_queued_images: int | None = None,
    ) -> None:
        self._submitting, self._webhook_policy = submitting, webhook_policy
        self._max_queued_images = max_queued_images
        self._redis = redis
        self._room = Room(redis)
        self._intake = JobIntake(submitting)
        self._registry = Registry(redis)
        self._images = ImageService(redis)

    def of(self, tenant: str, quotas: Quotas = NO_QUOTAS, *, request_id: str = "") -> Self:
        """The same for another tenant, who may begin with images of its own alone."""
        theirs = copy.copy(self)
        theirs.tenant, theirs._images = tenant, self._images.of(tenant)
        theirs.quotas, theirs.request_id = quotas, request_id
        return theirs

    def submit(self, asked: JobSubmission, *, strict: bool, named: Named | None = None) -> Accepted:
        """Queue a job, once it is in Redis; or find the one that was queued under this name.

        Raises InvalidRequest; InvalidImage; IdempotencyKeyReused; NoWorker where nobody could ever
        tell what the model is, or, if `strict`, where nobody serves it now; QuotaExceeded,
        QueueFull, StorageFull.
        """
        return self._accepted(lambda: self._resolved(asked, strict=strict), named)

    def rehearse(self, asked: JobSubmission, *, strict: bool) -> DryRun:
        """What `submit` would queue, and what it would cost. Raises like it."""
        resolved = self._resolved(asked, strict=strict)
        return dry_run(resolved.request, resolved.model)

    def verify(self, png: bytes, *, strict: bool, named: Named | None = None) -> Accepted:
        """Queue a job that makes an image again as its file tells; or find it by its name.

        It waits for the engine that made it, if one of that lives. Raises like `submit`.
        """
        return self._accepted(lambda: self._to_verify(png, strict=strict), named)

    def _accepted(self, resolved: Callable[[], _Resolved], named: Named | None) -> Accepted:
        once = None if named is None else named.once(self.tenant)
        while True:
            earlier = None if once is None else self._submitted(once)
            if earlier is not None:
                return Accepted(earlier, replayed=True)
            with suppress(NameTaken):  # by somebody who was faster
                return Accepted(self._enqueue(resolved(), once))

    def _to_verify(self, png: bytes, *, strict: bool) -> _Resolved:
        wanted = to_verify(png, self._registry.models())
        self._serve(wanted.model.name, strict=strict)
        engine = engine_to_wait_for(wanted.claim, wanted.model, self._registry)
        pixels = {SOURCE: wanted.pixels}
        return _Resolved(wanted.request, wanted.model, pixels, claim=wanted.claim, engine=engine)

    def _resolved(self, asked: JobSubmission, *, strict: bool) -> _Resolved:
        model = choose_model(asked.model, self._registry.models())
        seed = secrets.randbelow(MAX_SEED + 1)
        request = resolve(asked, model, seed=seed, webhook_policy=self._webhook_policy)
        self._serve(model.name, strict=strict)
        sources = SourceImages(self._images).read(tasks.images_of(asked), model)
        described = {name: source.described for name, source in sources.items()}
        pixels = {name: source.pixels for name, source in sources.items()}
        return _Resolved(request.model_copy(update=described), model, pixels)

    def _submitted(self, once: Once) -> str | None:
        """The job of this name. Raises IdempotencyKeyReused where it was asked for differently."""
        found = once.find(self._redis)
        if found is not None and found.body_sha256 != once.body_sha256:
            raise IdempotencyKeyReused
        return None if found is None else found.job_id

    def _serve(self, model: str, *, strict: bool) -> None:
        if strict and not self._registry.live_engines(model):
            raise NoWorker(f"No live worker serves {model}.")

    def _enqueue(self, resolved: _Resolved, once: Once | None = None) -> str:
        """The new job's id."""
        job = new_job(
            resolved.request,
            resolved.model,
            tenant=self.tenant,
            sources=resolved.pixels,
            claim=resolved.claim,
            engine=resolved.engine,
            request_id=self.request_id,
        )
        try:
            self._admit(job, once)
        except (ConnectionError, TimeoutError):
            if JobStore(self._redis).get(job.id) is None:  # only its answer may have been lost
                raise
        return job.id

    def _admit(self, job: NewJob, once: Once | None) -> None:
        """No refusal for want of room rests on a figure a second old."""
        for last in (False, True):
            room = self._room.left(now=last)
            bounds = bounds_of(self.quotas, queue=self._max_queued_images, room=room)
            try:
                enqueue = first_shards(self._submitting, job)
                self._intake.submit(job, bounds=bounds, once=once, enqueue=enqueue)
                return
            except NotAdmitted as error:
                if last or error.bound is not Bound.ROOM:
                    raise refusal(error, bounds, n=job.request.n) from error
