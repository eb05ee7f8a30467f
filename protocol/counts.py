"""Counts in Redis: they only grow, whoever comes and goes."""

from collections.abc import Iterable, Mapping
from typing import cast

from redis import Redis

from protocol import keys

WEBHOOK_ATTEMPTS = "webhook_attempts"  # by the state of the delivery afterwards


class Counts:
    """One hash, so that all of it is one read. Right but for what a process that was killed had not
    yet told, and for what was told twice because an answer was lost."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def add(self, label: str, amounts: Mapping[str, int]) -> None:
        """Add these amounts, by name."""
        with self.redis.pipeline(transaction=True) as pipe:
            for name, amount in amounts.items():
                pipe.hincrby(keys.counts(), field(name, label), amount)
            pipe.execute()

    def read(self) -> dict[tuple[str, str], int]:
        """Every count, by name and label."""
        found = cast(dict[bytes, bytes], self.redis.hgetall(keys.counts()))
        parts = {key.decode().partition(":"): int(value) for key, value in found.items()}
        return {(name, label): value for (name, _, label), value in parts.items()}


def field(name: str, label: str) -> str:
    """Its place in the hash."""
    return f"{name}:{label}"


def oldest_waiting(redis: Redis, models: Iterable[str]) -> dict[str, float]:
    """When the oldest of each model's jobs that have not begun was submitted, in seconds since the
    epoch; models without one are left out."""
    models = list(models)
    with redis.pipeline(transaction=False) as pipe:
        for model in models:
            pipe.zrange(keys.waiting(model), 0, 0, withscores=True)
        found = pipe.execute()
    return {model: line[0][1] for model, line in zip(models, found, strict=True) if line}
