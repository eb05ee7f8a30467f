"""How often a tenant may ask, counted in Redis for all front ends together."""

from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from protocol import keys

LUA = Path(__file__).parent / "lua" / "admission"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request."""

    granted: bool
    left: int  # requests that may follow at once
    more_in_s: float  # until there is one more


class RateLimiter:
    """Token buckets by name."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script((LUA / "take.lua").read_text())

    def take(self, bucket: str, *, per_s: float, burst: int) -> Taken:
        """One request of a bucket that holds `burst` and fills by `per_s` a second."""
        granted, left, more_in_us = self._script(
            keys=[keys.bucket(bucket)], args=[int(1e6 / per_s), burst]
        )
        return Taken(bool(granted), left, more_in_us / 1e6)
