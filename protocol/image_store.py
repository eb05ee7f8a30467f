"""Where PNG files live. Content never changes: the first writer wins, a second is ignored."""

from collections.abc import Iterable
from typing import Protocol

from redis import Redis

from protocol import keys


class ImageStore(Protocol):
    """PNG files by (job, slot), slot = index - first_index; slots 0 ... n-1."""

    def put(self, job_id: str, slot: int, png: bytes) -> None:
        """Store, unless there is one already, or the job is no longer open."""

    def get(self, job_id: str, slot: int) -> bytes | None:
        """The file, or None where it is not (or no longer) there."""

    def get_many(self, job_id: str, slots: Iterable[int]) -> list[bytes | None]:
        """Several files, in the order asked for."""


# A file that came after its job's end, or its deletion, would never expire.
PUT = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' or status == 'running' then
  redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2])
end
"""


class RedisImageStore:
    """Small images, in hashes of 100; they expire with their job (`prelude.lua`)."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._put = redis.register_script(PUT)

    def put(self, job_id: str, slot: int, png: bytes) -> None:
        """Store, unless there is one already, or the job is no longer open."""
        self._put(keys=[keys.job(job_id), _bucket(job_id, slot)], args=[slot, png])

    def get(self, job_id: str, slot: int) -> bytes | None:
        """The file, or None where it is not (or no longer) there."""
        return self.get_many(job_id, [slot])[0]

    def get_many(self, job_id: str, slots: Iterable[int]) -> list[bytes | None]:
        """Several files in one round trip, in the order asked for."""
        with self.redis.pipeline(transaction=False) as pipe:
            for slot in slots:
                pipe.hget(_bucket(job_id, slot), str(slot))
            found: list[bytes | None] = pipe.execute()
        return found


def _bucket(job_id: str, slot: int) -> str:
    return f"{keys.png_prefix(job_id)}{slot // keys.IMAGES_PER_BUCKET}"
