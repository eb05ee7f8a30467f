"""Jobs in Redis once they are there: read, and moved on by scripts alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from redis import Redis

from protocol import keys
from protocol.job_record import JobRecord, record_of
from protocol.job_scripts import JobScripts
from protocol.messages import ImageManifest, JobError, JobRequest
from protocol.states import JobState


class Commit(StrEnum):
    """What became of a write by a shard's holder."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"  # the image was there already, from an earlier run of the shard
    FENCED = "fenced"  # another worker has the shard now
    CLOSED = "closed"  # the job has ended, is being canceled, or was deleted


@dataclass(frozen=True, slots=True)
class Begun:
    """A shard taken: `epoch` goes with every later write."""

    job_id: str
    shard: int
    epoch: str
    tenant: str  # whom engines share their steps between
    request: JobRequest
    request_id: str = ""  # of the HTTP request that submitted it, for logs


class Lost(StrEnum):
    """Why a shard that was taken is no longer its holder's."""

    FENCED = "fenced"  # another run has it
    GONE = "gone"  # the job was deleted


class NotBegun(StrEnum):
    """Why a shard was not taken."""

    CLOSED = "closed"
    ELSEWHERE = "elsewhere"  # a live worker has the engine this job's first pixels came from
    SUSPECT = "suspect"  # workers have died of it, or beside it: only with an engine to itself


class JobStore:
    """What is read of a job, and all that is written after its submission. Every method is one
    round trip."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._run = JobScripts(redis).run

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

    def report_steps(self, held: Begun, steps: int) -> JobState | Lost:
        """Say how far the shard's rows are; learn the job's status, or why it is not ours."""
        answer = self._run("report_steps", held.job_id, held.shard, held.epoch, steps).decode()
        return Lost(answer) if answer in set(Lost) else JobState(answer)

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
