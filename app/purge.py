"""Jobs taken away for good, before their time is up."""

import time
from collections.abc import Iterator
from typing import cast

from redis import Redis

from protocol import keys
from protocol.job_list import JobList
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.shard_queue import ShardQueue

PAGE = 200


class Purge:
    """What is chosen and what is deleted are two steps, so that somebody can look between them."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._jobs, self._store = redis, JobList(redis), JobStore(redis)

    def tenants(self) -> list[str]:
        """All that have jobs, by name."""
        prefix = keys.jobs("")
        found = cast(Iterator[bytes], self._redis.scan_iter(f"{prefix}*", count=1000))
        return sorted({key.decode().removeprefix(prefix) for key in found})

    def ended(self, tenant: str, *, older_than_s: float) -> list[JobRecord]:
        """A tenant's jobs that ended at least this long ago."""
        before = time.time() - older_than_s
        return [
            job
            for job in self.all_of(tenant)
            if job.finished_at is not None and job.finished_at <= before
        ]

    def all_of(self, tenant: str) -> list[JobRecord]:
        """All of a tenant's jobs, those under way too."""
        found, after = list[JobRecord](), None
        while ids := self._jobs.ids(tenant, after=after, count=PAGE):
            found += [job for job in self._jobs.read(ids) if job is not None]
            after = ids[-1]
        return found

    def delete(self, job: JobRecord) -> None:
        """Its images, its record, and the memory that it was here; ended first if need be."""
        self._store.delete(job.id)
        ShardQueue(self._redis, job.request.model, job.request.priority).withdraw(
            job.id, job.request.n
        )
