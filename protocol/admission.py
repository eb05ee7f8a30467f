"""What may still be queued, decided where it is counted: in Redis, with the submission itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from redis import Redis
from redis.client import Pipeline

from protocol import keys
from protocol.idempotency import NameTaken, Once
from protocol.job_record import NewJob

LUA = Path(__file__).parent / "lua" / "admission"
JOB_BYTES = 16_384  # of a record, its shards in RQ and what belongs to them, about


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a submission may not lead beyond; None: no bound."""

    tenant_queue: int | None = None  # images of the tenant that are accepted and not yet made
    tenant_day: int | None = None  # images accepted for the tenant since midnight UTC
    queue: int | None = None  # images of everybody that are accepted and not yet made
    room: int | None = None  # bytes that Redis can still take


NO_BOUNDS = Bounds()


class Bound(StrEnum):
    """Which of them stands in the way."""

    TENANT_QUEUE = "tenant_queue"
    TENANT_DAY = "tenant_day"
    QUEUE = "queue"
    ROOM = "room"


class NotAdmitted(Exception):
    """Nothing was written. `there`: how much of what is bounded there was already."""

    def __init__(self, bound: Bound, *, there: int, midnight_s: int) -> None:
        super().__init__(bound)
        self.bound, self.there, self.midnight_s = bound, there, midnight_s


class Admission:
    """Carries out a submission if it stays within its bounds."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script((LUA / "submit.lua").read_text())

    def execute(
        self,
        pipe: Pipeline,
        job: NewJob,
        *,
        bounds: Bounds,
        once: Once | None = None,
    ) -> None:
        """Run what is in the pipe, in one script: all of it, or nothing.

        Raises NameTaken where `once` was used before, NotAdmitted.
        """
        limits = (bounds.tenant_queue, bounds.tenant_day, bounds.queue, bounds.room)
        verdict, there, midnight_s = self._script(
            keys=[
                keys.queued(),
                keys.day(job.tenant, ""),
                *([] if once is None else [once.redis_key]),
            ],
            args=[
                job.tenant,
                job.request.model,
                job.request.priority,
                job.request.n,
                job.image_bytes,
                JOB_BYTES + sum(map(len, job.sources.values())),
                *("" if limit is None else limit for limit in limits),
                *_flat(pipe),
            ],
        )
        if verdict == b"taken":
            raise NameTaken
        if verdict != b"admitted":
            raise NotAdmitted(Bound(verdict.decode()), there=there, midnight_s=midnight_s)


def _flat(pipe: Pipeline) -> Iterator[Any]:
    """Its commands, each behind its number of words: RQ writes into pipelines alone."""
    for words, _ in pipe.command_stack:
        yield len(words)
        yield from words
