"""A tenant's jobs, newest first: ids are UUIDv7, so their order is that of submission."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from protocol import keys
from protocol.job_record import JobRecord, record_of
from protocol.states import JobState


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an open job is: in the line, or on its way."""

    steps_in_flight: int = 0
    queue_position: int | None = None


class JobList:
    """Read in pages. Every method is one round trip, O(asked)."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def ids(self, tenant: str, *, after: str | None, count: int) -> list[str]:
        """The next `count` ids older than `after`, or the newest; some may have no record now."""
        upper = "+" if after is None else f"({after}"
        found = self.redis.zrevrangebylex(keys.jobs(tenant), upper, "-", start=0, num=count)
        return [job_id.decode() for job_id in cast(list[bytes], found)]

    def read(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Their records, in the same order; None where it has expired."""
        with self.redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hgetall(keys.job(job_id))
            found = pipe.execute()
        return [
            record_of(job_id, raw) if raw else None
            for job_id, raw in zip(job_ids, found, strict=True)
        ]

    def standings(self, records: Iterable[JobRecord]) -> list[Standing]:
        """Of each: steps of its rows that are not yet images; how many begin before it."""
        records = list(records)
        with self.redis.pipeline(transaction=False) as pipe:
            for record in records:
                pipe.hvals(keys.in_flight(record.id))
                pipe.zrank(keys.waiting(record.request.model), record.id)
            found = iter(pipe.execute())
        return [
            Standing(sum(map(int, steps)), rank if record.status is JobState.QUEUED else None)
            for record, steps, rank in zip(records, found, found, strict=True)
        ]
