"""What a worker counts of itself, and how much of that it has told."""

import threading
from collections import Counter
from collections.abc import Mapping

from protocol.counted import BY_WORKERS
from protocol.counts import Counts


class Tally:
    """Counted by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._counted[name] += amount

    def read(self) -> dict[str, int]:
        """As it is now."""
        with self._lock:
            return dict(self._counted)


class Teller:
    """Adds to the counts of a model what is new since it last could."""

    def __init__(self, counts: Counts, model: str) -> None:
        self._counts, self._model = counts, model
        self._told: dict[str, int] = {}

    def tell(self, counted: Mapping[str, int]) -> None:
        """Once each: what could not be told is told the next time. Raises RedisError."""
        now = {name: amount for name, amount in counted.items() if name in BY_WORKERS}
        new = {name: amount - self._told.get(name, 0) for name, amount in now.items()}
        new = {name: amount for name, amount in new.items() if amount}
        if new:
            self._counts.add(self._model, new)
            self._told = now
