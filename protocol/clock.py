"""One clock for all hosts: Redis's. Scripts ask it as `now()`."""

from redis import Redis


def now_s(redis: Redis) -> float:
    """Seconds since the epoch."""
    seconds, microseconds = redis.time()
    return seconds + 1e-6 * microseconds
