"""How much Redis can still take, and how much a job will need of it."""

import time

from redis import Redis

from protocol.messages import JobRequest, ModelInfo

LOOKED_UP_EVERY_S = 1.0
IMAGE_OVERHEAD_BYTES = 1024  # text chunks, manifest, hash fields
GROWTH_WITH_SCALE = 0.15


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


def bytes_of_image(request: JobRequest, model: ModelInfo) -> int:
    """What a PNG takes in Redis with all that belongs to it, at most, about.

    Of pixels that do not compress at all: a filtered PNG of an image enlarged by `scale` grows by
    some 15 % of the raw pixels for each (measured for 8 x 8 to 64 x 64, scales 1 to 16).
    """
    raw = model.image_size_px**2 * model.channels
    return IMAGE_OVERHEAD_BYTES + int(raw * (1 + GROWTH_WITH_SCALE * request.output.scale))
