"""A shard that was begun goes on, and what was computed is not lost, though Redis is away or full.

Whoever ran a shard and left without a word counts as dead, so no trouble may pass for a crash.
"""

import logging
import random
import threading
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

from protocol.trouble import passes

log = logging.getLogger(__name__)
FIRST_S, LONGEST_S = 0.1, 2.0
Answer = TypeVar("Answer")


class Persistence:
    """Repeats reads and idempotent writes until they succeed, or until we leave."""

    def __init__(self) -> None:
        self._leaving = threading.Event()

    def leave(self) -> None:
        """Wait no longer: from now on raise what Redis raises."""
        self._leaving.set()

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` returns in the end.

        Pauses double from 0.1 to 2 s, each shortened by chance: workers must not come back as one.
        """
        pause_s = FIRST_S
        while True:
            try:
                return ask()
            except RedisError as error:
                if self._leaving.is_set() or not passes(error):
                    raise
                log.warning("Redis is in trouble, again in %.1f s: %s", pause_s, error)
            self._leaving.wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_S)
