"""Submitting once under a name, however often a client asks: part of the job's own script."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError

from protocol import keys


class NameTaken(Exception):
    """Something was submitted under the name already, a day ago or a moment ago."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a name stands for: a digest of what the client sent, and the job that it made."""

    body_sha256: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Once:
    """A tenant's name for one submission, and a digest of what it sends under it."""

    redis_key: str
    body_sha256: str

    @classmethod
    def of(cls, name: str, *, tenant: str, body_sha256: str) -> Self:
        """Names may be of any length; what is stored is their hash."""
        name_sha256 = hashlib.sha256(name.encode()).hexdigest()
        return cls(keys.idempotency(tenant, name_sha256), body_sha256)

    def find(self, redis: Redis) -> Submitted | None:
        """What was submitted under the name, in the last 24 hours."""
        entry = cast(bytes | None, redis.get(self.redis_key))
        return None if entry is None else Submitted(*entry.decode().split())

    def take(self, pipe: Pipeline, job_id: str) -> None:
        """Add the name to what records the job."""
        entry = f"{self.body_sha256} {job_id}"
        pipe.set(self.redis_key, entry, ex=keys.IDEMPOTENCY_KEPT_S)


@contextmanager
def taken_if_lost(once: Once | None) -> Iterator[None]:
    """NameTaken where a lost connection leaves open whether the submission was carried out."""
    try:
        yield
    except ConnectionError as error:
        if once is None:
            raise
        raise NameTaken from error
