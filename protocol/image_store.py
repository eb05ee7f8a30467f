"""Where PNG files live. What is committed never changes: a shard's holder stores, then commits."""

from collections.abc import Iterable
from typing import Protocol

from redis import Redis

from protocol import keys
from protocol.job_store import Begun


class ImageStore(Protocol):
    """PNG files by (job, slot), slot = index - first_index; slots 0 ... n-1."""

    def put(self, held: Begun, index: int, png: bytes) -> None:
        """Store, if the shard is still its holder's, and the job open."""

    def get(self, job_id: str, slot: int) -> bytes | None:
        """The file, or None where it is not (or no longer) there."""

    def get_many(self, job_id: str, slots: Iterable[int]) -> list[bytes | None]:
        """Several files, in the order asked for."""


# A file belongs to the manifest that its shard's holder commits next. Of an earlier holder's, which
# may be of another engine, none must stay; nor any that comes after its job's end: it would never
# expire.
PUT = """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'running' then return end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
"""


class RedisImageStore:
    """Small images, in hashes of 100; they expire with their job (`prelude.lua`)."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._put = redis.register_script(PUT)

    def put(self, held: Begun, index: int, png: bytes) -> None:
        """Store, if the shard is still its holder's, and the job open."""
        slot = index - held.request.first_index
        self._put(
            keys=[keys.job(held.job_id), keys.epochs(held.job_id), _bucket(held.job_id, slot)],
            args=[held.shard, held.epoch, slot, png],
        )

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
