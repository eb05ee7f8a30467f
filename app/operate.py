"""What operators do to jobs of everybody: find them, take them away, ask for them again."""

import time
from collections.abc import Iterator
from typing import cast

from redis import Redis

from app.new_job import engine_to_wait_for, new_job
from protocol import keys
from protocol.job_intake import JobIntake, first_shards
from protocol.job_list import JobList
from protocol.job_record import JobRecord, NewJob
from protocol.job_removal import remove
from protocol.job_store import JobStore
from protocol.registry import Registry
from protocol.states import JobState

PAGE = 200


class NotAgain(Exception):
    """Why a job cannot be asked for once more, in one line."""


class Operate:
    """What is chosen and what is done to it are two steps, so that somebody can look between them.

    `again` wants a client that never repeats.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis, self._jobs, self._store = redis, JobList(redis), JobStore(redis)
        self._registry = Registry(redis)

    def tenants(self) -> list[str]:
        """All that have jobs, by name."""
        prefix = keys.jobs("")
        found = cast(Iterator[bytes], self._redis.scan_iter(f"{prefix}*", count=1000))
        return sorted({key.decode().removeprefix(prefix) for key in found})

    def ended(self, tenant: str, *, older_than_s: float) -> Iterator[JobRecord]:
        """A tenant's jobs that ended at least this long ago."""
        before = time.time() - older_than_s
        for job in self.all_of(tenant):
            if job.finished_at is not None and job.finished_at <= before:
                yield job

    def all_of(self, tenant: str) -> Iterator[JobRecord]:
        """All of a tenant's jobs, those under way too; a page in memory, however many there are.

        They may be deleted as they come.
        """
        after = None
        while ids := self._jobs.ids(tenant, after=after, count=PAGE):
            yield from (job for job in self._jobs.read(ids) if job is not None)
            after = ids[-1]

    def delete(self, job: JobRecord) -> None:
        """Its images, its record, and the memory that it was here; ended first if need be."""
        remove(self._store, job)

    def again(self, job_id: str) -> str:
        """Queue a job that did not succeed once more, whatever is queued: the new job's id.

        Its request is the same, seed, webhook and tenant included. Raises NotAgain.
        """
        new = self._new(job_id)
        JobIntake(self._redis).submit(new, enqueue=first_shards(self._redis, new))
        return new.id

    def _new(self, job_id: str) -> NewJob:
        job = self._store.get(job_id)
        if job is None:
            raise NotAgain(f"no job is called {job_id}")
        if job.status not in (JobState.FAILED, JobState.CANCELED):
            raise NotAgain(f"{job_id} is {job.status}; only one that failed or was canceled is")
        request, claim = job.request, job.claim
        model = self._registry.models().get(request.model)
        if model is None:
            raise NotAgain(f"{job_id}: nobody serves {request.model} any more")
        sources = self._store.sources(job_id)
        if not sources and (request.sources or claim is not None):
            raise NotAgain(f"{job_id}: the images that it starts from have expired")
        engine = engine_to_wait_for(claim, model, self._registry) if claim else ""
        return new_job(
            request, model, tenant=job.tenant, sources=sources, claim=claim, engine=engine
        )
