"""What was seen in a round, for the next one: of many workers each time another has its turn."""

from collections.abc import Iterable
from typing import cast

from redis import Redis

from protocol.clock import now_s

KEPT_S = 60  # without a round; what was seen before a pause so long tells nothing


class Sightings:
    """When what is there now was first there, by names; in one hash in Redis."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis, self._key = redis, key

    def again(self, there: Iterable[bytes]) -> dict[bytes, float]:
        """Note what is there; of what the last round has noted too: for how long by now (s)."""
        now = now_s(self._redis)
        known = cast(dict[bytes, bytes], self._redis.hgetall(self._key))
        first_seen = {name: float(known.get(name, now)) for name in there}
        if first_seen or known:
            self._note(first_seen)
        return {name: now - since for name, since in first_seen.items() if name in known}

    def _note(self, first_seen: dict[bytes, float]) -> None:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._key)
            if first_seen:
                pipe.hset(self._key, mapping=first_seen)  # type: ignore[arg-type]
                pipe.expire(self._key, KEPT_S)
            pipe.execute()
