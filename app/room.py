"""How much Redis can still take."""

import time

from redis import Redis

LOOKED_UP_EVERY_S = 1.0


class Room:
    """Bytes between what Redis uses and its maxmemory, as of a second ago at most."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._looked_at = float("-inf")
        self._left: int | None = None

    def left(self, *, now: bool) -> int | None:
        """None where Redis has no limit. `now`: look it up, however lately that was done."""
        at = time.monotonic()
        if now or at - self._looked_at > LOOKED_UP_EVERY_S:
            memory = self._redis.info("memory")
            most, used = int(memory["maxmemory"]), int(memory["used_memory"])
            self._looked_at, self._left = at, most - used if most else None
        return self._left
