"""The stream of what happened to jobs, read: live by one reader a process, backwards on demand."""

import re
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

from redis import Redis

from protocol import keys

ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
BEYOND = 2**64
MOST_MISSED = 1000  # events of all jobs; after more than that a snapshot is the shorter answer

Entry = tuple[bytes, dict[bytes, bytes]]  # id, fields


class StreamId(NamedTuple):
    """Where something is in the stream; later is larger."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None where it is not one."""
        parts = ID.fullmatch(text)
        if parts is None:
            return None
        ms, seq = int(parts[1]), int(parts[2])
        return cls(ms, seq) if max(ms, seq) < BEYOND else None


BEGINNING = StreamId(0, 0)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job: `running`, `image`, `canceling` or `done`."""

    id: StreamId
    job_id: str
    kind: str
    index: int | None  # of the image, where it is one

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """As written by `emit` in prelude.lua. What others may have written is nobody's event."""
        raw_id, fields = entry
        index = fields.get(b"index", b"")
        return cls(
            id=StreamId.parse(raw_id.decode()) or BEGINNING,
            job_id=fields.get(b"job", b"").decode(errors="replace"),
            kind=fields.get(b"event", b"").decode(errors="replace"),
            index=int(index) if index.isdigit() else None,
        )


class EventLog:
    """What somebody has missed who was away for a moment."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def missed(self, job_id: str, *, since: StreamId, until: StreamId) -> list[JobEvent] | None:
        """A job's events after `since`, up to `until`, oldest first; None where they cannot be
        told: `since` is not from this stream, or the stream was trimmed, or it is too long ago."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xrange(keys.events(), count=1)
            pipe.xrange(keys.events(), f"({since}", str(until), count=MOST_MISSED + 1)
            oldest, entries = cast(tuple[list[Entry], list[Entry]], pipe.execute())
        trimmed = not oldest or JobEvent.of(oldest[0]).id > since
        if trimmed or since > until or len(entries) > MOST_MISSED:
            return None
        events = (JobEvent.of(entry) for entry in entries)
        return [event for event in events if event.job_id == job_id]
