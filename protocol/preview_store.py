"""How unfinished images look by now: drawn only while somebody watches."""

from collections.abc import Collection
from typing import cast

from redis import Redis

from protocol import keys

WATCHED_S = 10  # after somebody last looked
KEPT_S = 10


class PreviewStore:
    """PNG sheets by job and shard, gone soon after they were last renewed."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def watch(self, job_id: str) -> None:
        """Somebody wants to see it."""
        self.redis.set(keys.watched(job_id), 1, ex=WATCHED_S)

    def watched(self, job_ids: Collection[str]) -> set[str]:
        """Those of the jobs that somebody has looked at lately."""
        if not job_ids:
            return set()
        marks = self.redis.mget([keys.watched(job_id) for job_id in job_ids])
        return {job_id for job_id, mark in zip(job_ids, marks, strict=True) if mark is not None}

    def put(self, job_id: str, shard: int, png: bytes) -> None:
        """What a shard looks like now."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.previews(job_id), str(shard), png)
            pipe.expire(keys.previews(job_id), KEPT_S)
            pipe.execute()

    def latest(self, job_id: str) -> bytes | None:
        """The sheet of the first shard that is under way and has one."""
        under_way = sorted(int(shard) for shard in self.redis.hkeys(keys.leases(job_id)))
        if not under_way:
            return None
        fields = [str(shard) for shard in under_way]
        sheets = cast(list[bytes | None], self.redis.hmget(keys.previews(job_id), fields))
        return next((sheet for sheet in sheets if sheet is not None), None)
