"""Submitting jobs as the API does, without HTTP."""

import time
import uuid
from typing import Any, cast

from redis import Redis

from protocol import keys
from protocol.job_intake import JobIntake, first_shards
from protocol.job_record import JobRecord, NewJob
from protocol.job_store import JobStore
from protocol.messages import JobRequest, Output, Priority, SamplerSpec

DDIM_20 = SamplerSpec(name="ddim", steps=20, eta=0.0, clip=1.0)
DDPM_50 = SamplerSpec(name="ddpm", steps=50, variance="fixed_small", clip=1.0)


def request(**changes: Any) -> JobRequest:
    """A valid request for the tiny model, with changes."""
    defaults = JobRequest(
        task="sample",
        model="tiny",
        n=4,
        seed=42,
        first_index=0,
        sampler=DDIM_20,
        output=Output(),
        priority=Priority.NORMAL,
        timeout_s=None,
        ttl_s=3600,
        metadata={},
    )
    return defaults.model_copy(update=changes)


def submit(redis: Redis, **changes: Any) -> str:
    """Record and enqueue a job; its id."""
    wanted = request(**changes)
    job_id = f"job_{uuid.uuid4().hex}"
    job = NewJob(job_id, wanted, model_sha256="", created_at=time.time())
    JobIntake(redis).submit(job, enqueue=first_shards(redis, job))
    return job_id


def record(redis: Redis, job_id: str) -> JobRecord:
    """A job that must be there."""
    found = JobStore(redis).get(job_id)
    assert found is not None, f"{job_id} has no record"
    return found


def pixel_hashes(redis: Redis, job_id: str) -> dict[int, str]:
    """pixels_sha256 of every finished image, by index."""
    wanted = record(redis, job_id).request
    indices = range(wanted.first_index, wanted.first_index + wanted.n)
    found = JobStore(redis).manifests(job_id, indices)
    return {index: manifest.pixels_sha256 for index, manifest in found.items()}


def events(redis: Redis, job_id: str) -> list[str]:
    """What the stream tells of a job, oldest first."""
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.events()))
    return [e[b"event"].decode() for _, e in entries if e[b"job"].decode() == job_id]
