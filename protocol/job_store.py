"""The job's record in Redis: submitted in one transaction, moved on by scripts alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from protocol import keys, webhook_store
from protocol.admission import NO_BOUNDS, Admission, Bounds
from protocol.event_log import StreamId
from protocol.idempotency import Once, taken_if_lost
from protocol.messages import Claim, ImageManifest, JobAbout, JobError, JobRequest
from protocol.states import JobState

LUA = Path(__file__).parent / "lua"
DEFAULT_TENANT = "default"
JOB_BYTES = 16_384  # of a record, its shards in RQ and what belongs to them, about


class Commit(StrEnum):
    """What became of a write by a shard's holder."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"  # the image was there already, from an earlier run of the shard
    FENCED = "fenced"  # another worker has the shard now
    CLOSED = "closed"  # the job has ended, or is being canceled


@dataclass(frozen=True, slots=True)
class Begun:
    """A shard taken: `epoch` goes with every later write."""

    job_id: str
    shard: int
    epoch: str
    tenant: str  # whom engines share their steps between
    request: JobRequest
    request_id: str = ""  # of the HTTP request that submitted it, for logs


class NotBegun(StrEnum):
    """Why a shard was not taken."""

    CLOSED = "closed"
    ELSEWHERE = "elsewhere"  # a live worker has the engine this job's first pixels came from
    SUSPECT = "suspect"  # workers have died of it, or beside it: only with an engine to itself


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. Times are seconds since the epoch, by Redis's clock once it began."""

    id: str
    tenant: str
    status: JobState
    request: JobRequest
    model_sha256: str
    engine: str | None
    images_done: int
    attempts: int
    error: JobError | None
    created_at: float
    started_at: float | None
    first_step_at: float | None
    finished_at: float | None
    expires_at: float | None
    done_event: StreamId | None  # of the event that told its end
    claim: Claim | None = None  # of the image it is to verify


class JobStore:
    """All that is ever written of a job. Every method is one round trip, but for `submit` once."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._admission = Admission(redis)
        prelude = (LUA / "prelude.lua").read_text()
        self._scripts = {
            path.stem: redis.register_script(prelude + path.read_text())
            for path in LUA.glob("*.lua")
            if path.stem != "prelude"
        }

    def submit(
        self,
        job_id: str,
        request: JobRequest,
        *,
        model_sha256: str,
        created_at: float,
        tenant: str = DEFAULT_TENANT,
        sources: Mapping[str, bytes] | None = None,
        bounds: Bounds = NO_BOUNDS,
        image_bytes: int = 0,
        claim: Claim | None = None,
        engine: str = "",
        request_id: str = "",
        once: Once | None = None,
        enqueue: Callable[[Pipeline], None],
    ) -> None:
        """Record the job and whatever `enqueue` adds, in one script: all of it, or nothing.

        `sources` are the pixels of the request's own, by the same names; of a job that verifies an
        image, those of the image. `engine` pins the job before its first claim does. `image_bytes`
        is what each of its images will take. Raises NotAdmitted where that would pass the bounds;
        NameTaken where `once` was used before: nothing was written, or it was, by this call, whose
        answer was lost.
        """
        sources = sources or {}
        with taken_if_lost(once), self.redis.pipeline(transaction=True) as pipe:
            pipe.multi()
            pipe.hset(
                keys.job(job_id),
                mapping={
                    "status": JobState.QUEUED,
                    "request": request.model_dump_json(),
                    "tenant": tenant,
                    "model": request.model,
                    "priority": request.priority,
                    "n": request.n,
                    "image_bytes": image_bytes,
                    "counted": 1,
                    "ttl_s": request.ttl_s,
                    "timeout_s": request.timeout_s or "",
                    "model_sha256": model_sha256,
                    "engine": engine,
                    "request_id": request_id,
                    "images_done": 0,
                    "attempts": 0,
                    "error": "",
                    "created_at": f"{created_at:.6f}",
                    "claim": "" if claim is None else claim.model_dump_json(),
                    **_webhook_fields(request),
                },
            )
            for name, pixels in sources.items():
                pipe.hset(keys.sources(job_id), name, pixels)
            pipe.zadd(keys.jobs(tenant), {job_id: 0})
            pipe.zadd(keys.waiting(request.model), {job_id: created_at})
            pipe.zadd(keys.unended(request.model), {job_id: created_at})
            enqueue(pipe)
            pipe.lpush(keys.wake(request.model), 1)
            pipe.ltrim(keys.wake(request.model), 0, keys.WAKE_HINTS - 1)
            if once is not None:
                once.take(pipe, job_id)
            self._admission.execute(
                pipe,
                request,
                tenant=tenant,
                bounds=bounds,
                image_bytes=image_bytes,
                job_bytes=JOB_BYTES + sum(map(len, sources.values())),
                once=once,
            )

    def get(self, job_id: str) -> JobRecord | None:
        """The record, or None where there is none (any more)."""
        raw = self.redis.hgetall(keys.job(job_id))
        return record_of(job_id, cast(dict[bytes, bytes], raw)) if raw else None

    def is_gone(self, job_id: str, *, tenant: str) -> bool:
        """Whether a tenant's job of this id was once here, and its record has expired."""
        return self.redis.get(keys.tombstone(job_id)) == tenant.encode()

    def manifests(self, job_id: str, indices: Iterable[int]) -> dict[int, ImageManifest]:
        """Those of the given images that are finished, by index. O(asked), not O(job)."""
        asked = list(indices)
        if not asked:
            return {}
        found = self.redis.hmget(keys.images(job_id), [str(i) for i in asked])
        return {
            index: ImageManifest.model_validate_json(raw)
            for index, raw in zip(asked, found, strict=True)
            if raw is not None
        }

    def sources(self, job_id: str) -> dict[str, bytes]:
        """Pixels (uint8, H W C) of the images that its chains start from, by field."""
        found = cast(dict[bytes, bytes], self.redis.hgetall(keys.sources(job_id)))
        return {name.decode(): pixels for name, pixels in found.items()}

    def steps_in_flight(self, job_id: str) -> int:
        """Steps done by rows that are not yet images, over all shards."""
        return sum(int(steps) for steps in self.redis.hvals(keys.in_flight(job_id)))

    def queue_position(self, job_id: str, model: str) -> int | None:
        """How many jobs of the model were submitted before it and have not begun."""
        return cast(int | None, self.redis.zrank(keys.waiting(model), job_id))

    def jobs_waiting(self, models: Iterable[str]) -> int:
        """How many jobs of these models have not begun."""
        with self.redis.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.zcard(keys.waiting(model))
            return sum(pipe.execute())

    def queued(self) -> dict[str, int]:
        """What is accepted and not yet made, by the names of `keys.queued`."""
        found = cast(dict[bytes, bytes], self.redis.hgetall(keys.queued()))
        return {name.decode(): int(amount) for name, amount in found.items()}

    def begin_shard(
        self,
        job_id: str,
        shard: int,
        *,
        run: str,
        engine: str,
        model_sha256: str,
        alone: bool = False,
    ) -> Begun | NotBegun:
        """Take a shard; the job's first claim pins engine and weights.

        A lease that is still there is that of a worker that died, unless it is of the same `run`:
        so this may be said twice. `alone`: nothing else is in the engine.
        """
        answer = self._run(
            "begin_shard", job_id, shard, run, engine, keys.engine(""), model_sha256, int(alone)
        )
        verdict, *rest = (part.decode() for part in answer)
        if verdict != "begun":
            return NotBegun(verdict)
        epoch, tenant, request, request_id = rest
        resolved = JobRequest.model_validate_json(request)
        return Begun(job_id, shard, epoch, tenant, resolved, request_id)

    def commit_image(self, held: Begun, manifest: ImageManifest, *, steps_in_flight: int) -> Commit:
        """Make an image part of its job; its PNG must be stored already. First writer wins."""
        answer = self._run(
            "commit_image",
            held.job_id,
            held.shard,
            held.epoch,
            manifest.index,
            manifest.model_dump_json(),
            steps_in_flight,
        )
        return Commit(answer.decode())

    def report_steps(self, held: Begun, steps: int) -> JobState | None:
        """Say how far the shard's rows are; learn the job's status, None if it is not ours."""
        answer = self._run("report_steps", held.job_id, held.shard, held.epoch, steps).decode()
        return None if answer in ("fenced", "gone") else JobState(answer)

    def first_step(self, held: Begun, at: float) -> None:
        """Note when the job's first row took its first step."""
        self._run("first_step", held.job_id, held.shard, held.epoch, f"{at:.6f}")

    def leave_shard(self, held: Begun, *, given_back: bool = False) -> None:
        """Let go of a shard; the last to leave a canceling job ends it."""
        self._run("leave_shard", held.job_id, held.shard, held.epoch, int(given_back))

    def crash_shard(self, held: Begun, error: JobError) -> None:
        """A step with its rows raised: from now on it runs alone, and fails its job after three."""
        self._run("crash_shard", held.job_id, held.shard, held.epoch, error.model_dump_json())

    def fail_job(self, job_id: str, shard: int, error: JobError, *, epoch: str = "") -> None:
        """End the job as failed, unless it has ended; finished images stay."""
        self._run("fail_job", job_id, shard, epoch, error.model_dump_json())

    def cancel(self, job_id: str) -> JobState | None:
        """Compare and set; returns the status before, None where there is no such job."""
        before = self._run("cancel_job", job_id)
        return None if before is None else JobState(before.decode())

    def delete(self, job_id: str) -> JobState | None:
        """Remove all that is kept of it, ending it first if need be; the status before, or None
        where there is no such job."""
        own = (keys.watched(job_id), keys.previews(job_id))
        before = self._run("delete_job", job_id, *own)
        return None if before is None else JobState(before.decode())

    def _run(self, script: str, job_id: str, *args: Any) -> Any:
        return self._scripts[script](
            keys=[
                keys.job(job_id),
                keys.images(job_id),
                keys.epochs(job_id),
                keys.leases(job_id),
                keys.in_flight(job_id),
                keys.events(),
                keys.tombstone(job_id),
                keys.sources(job_id),
                keys.expiring(),
                keys.delivery(webhook_store.of_job(job_id)),
                keys.deliveries_due(),
                keys.queued(),
            ],
            args=[
                job_id,
                keys.RECORD_KEPT_S,
                keys.TOMBSTONE_KEPT_S,
                keys.png_prefix(job_id),
                keys.IMAGES_PER_BUCKET,
                keys.waiting(""),
                keys.jobs(""),
                keys.unended(""),
                *args,
            ],
        )


def _webhook_fields(request: JobRequest) -> Mapping[Any, str]:
    """What the script that ends the job needs to tell of it."""
    if request.webhook is None:
        return {}
    about = JobAbout(task=request.task, model=request.model, metadata=request.metadata)
    return {
        "webhook_url": request.webhook.url,
        "webhook_events": ",".join(request.webhook.events),
        "webhook_about": about.model_dump_json(),
    }


def record_of(job_id: str, raw: Mapping[bytes, bytes]) -> JobRecord:
    """What the hash in Redis says."""
    text = {name.decode(): value.decode() for name, value in raw.items()}

    def time_of(name: str) -> float | None:
        return float(text[name]) if text.get(name) else None

    return JobRecord(
        id=job_id,
        tenant=text["tenant"],
        status=JobState(text["status"]),
        request=JobRequest.model_validate_json(text["request"]),
        model_sha256=text["model_sha256"],
        engine=text["engine"] or None,
        images_done=int(text["images_done"]),
        attempts=int(text["attempts"]),
        error=JobError.model_validate_json(text["error"]) if text["error"] else None,
        created_at=float(text["created_at"]),
        started_at=time_of("started_at"),
        first_step_at=time_of("first_step_at"),
        finished_at=time_of("finished_at"),
        expires_at=time_of("expires_at"),
        done_event=StreamId.parse(text.get("done_event", "")),
        claim=Claim.model_validate_json(text["claim"]) if text.get("claim") else None,
    )
