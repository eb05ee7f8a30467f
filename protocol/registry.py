"""Which models there are and which workers live. Models outlive their workers."""

from typing import cast

from redis import Redis

from protocol import keys
from protocol.clock import now_s
from protocol.messages import ModelInfo, WorkerInfo

WORKER_TTL_S = 10.0  # a worker that says nothing for this long is taken for dead
START_FAULT_TTL_S = 120  # longer than any supervisor waits before it starts a worker again


class Registry:
    """Written by workers, read by the API, which opens no checkpoint. Who lives is told by Redis's
    clock: hosts need not agree on the time."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def publish(self, model: ModelInfo) -> None:
        """Make a model known, or its description current."""
        self.redis.hset(keys.models(), model.name, model.model_dump_json())

    def models(self) -> dict[str, ModelInfo]:
        """All known models, by name."""
        raw = self.redis.hgetall(keys.models())
        infos = [ModelInfo.model_validate_json(info) for info in raw.values()]
        return {info.name: info for info in sorted(infos, key=lambda info: info.name)}

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Say that a worker lives, and with it its engine."""
        good_until_s = now_s(self.redis) + WORKER_TTL_S
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.workers(), {worker.name: good_until_s})
            pipe.hset(keys.worker_infos(), worker.name, worker.model_dump_json())
            pipe.set(keys.engine(worker.engine), worker.name, px=int(WORKER_TTL_S * 1000))
            pipe.execute()

    def heard(self, worker: str) -> tuple[float, WorkerInfo] | None:
        """When a worker last spoke, in seconds since the epoch by Redis's clock, and what it said;
        both of one heartbeat. None for one that nobody knows."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.zscore(keys.workers(), worker)
            pipe.hget(keys.worker_infos(), worker)
            good_until_s, info = pipe.execute()
        if good_until_s is None or info is None:
            return None
        return good_until_s - WORKER_TTL_S, WorkerInfo.model_validate_json(info)

    def cannot_start(self, reason: str) -> None:
        """Say why a worker does not live; the latest word is kept, for two minutes."""
        self.redis.set(keys.start_fault(), reason, ex=START_FAULT_TTL_S)

    def start_fault(self) -> str | None:
        """Why a worker could not start, if one said so lately."""
        reason = cast(bytes | None, self.redis.get(keys.start_fault()))
        return None if reason is None else reason.decode()

    def leave(self, worker: str) -> None:
        """A worker that ends properly takes its name away at once."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.zrem(keys.workers(), worker)
            pipe.hdel(keys.worker_infos(), worker)
            pipe.execute()

    def forget_dead(self) -> None:
        """Drop the names of workers that stopped speaking an hour ago or more."""
        dead = self.redis.zrangebyscore(keys.workers(), 0, now_s(self.redis) - 3600)
        for name in cast(list[bytes], dead):
            self.leave(name.decode())

    def live_workers(self) -> list[WorkerInfo]:
        """Workers heard of lately."""
        names = cast(
            list[bytes], self.redis.zrangebyscore(keys.workers(), now_s(self.redis), "+inf")
        )
        if not names:
            return []
        found = self.redis.hmget(keys.worker_infos(), names)
        return [WorkerInfo.model_validate_json(raw) for raw in found if raw is not None]

    def live_engines(self, model: str) -> set[str]:
        """Of the live workers of a model."""
        return {worker.engine for worker in self.live_workers() if worker.model == model}
