"""How long what a killed worker had takes to run again."""

import threading
import time
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from chaos.oracle import job_ids
from chaos.stack import Stack
from protocol import keys

POLL_S = 0.1


def held_by(stack: Stack, pid: int) -> dict[tuple[str, str], bytes]:
    """The shards, by job, that a worker has, and which run of it that is; none if Redis is away."""
    held = {}
    try:
        with stack.look() as redis:
            for job_id in job_ids(redis):
                leases = cast(dict[bytes, bytes], redis.hgetall(keys.leases(job_id)))
                for shard, run in leases.items():
                    if f"-{pid}-".encode() in run:
                        held[job_id, shard.decode()] = run
    except RedisError:
        return {}
    return held


class Recoveries:
    """Watches, from the moment of a kill, until each shard was begun again or its job is over."""

    def __init__(self, stack: Stack) -> None:
        self.took_s: list[float] = []
        self._stack = stack
        self._left: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recoveries", daemon=True)
        self._thread.start()

    def killed(self, pid: int) -> None:
        """Note what the worker had; its lease says which run of it that was."""
        now = time.monotonic()
        for shard, run in held_by(self._stack, pid).items():
            self._left[shard] = run, now

    @property
    def waiting(self) -> int:
        """Shards that were killed and not yet begun again."""
        return len(self._left)

    def stop(self) -> None:
        """Watch no longer."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                with self._stack.look() as redis:
                    self._settle(redis)
            except RedisError:
                continue

    def _settle(self, redis: Redis) -> None:
        for (job_id, shard), (run, since) in list(self._left.items()):
            lease = redis.hget(keys.leases(job_id), shard)
            ended = redis.hexists(keys.job(job_id), "finished_at")
            if ended or (lease is not None and lease != run):
                self.took_s.append(time.monotonic() - since)
                del self._left[job_id, shard]
