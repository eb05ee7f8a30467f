"""How much there is to do, and how it is going: counts in Redis, and what workers say."""

from redis import Redis

from app.resources.system import QueueStats, Stats, TenantStats, WorkerStats
from protocol.job_store import JobStore
from protocol.messages import Priority, WorkerInfo, WorkerLoad
from protocol.registry import Registry
from protocol.shard_queue import depths, queue_name

SILENT = WorkerLoad(rows_running=0, rows_waiting=0, width=0)  # of a worker that tells nothing


class StatsService:
    """Reads; costs a few round trips whatever there is."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._store, self._registry = JobStore(redis), Registry(redis)

    def read(self) -> Stats:
        """As it is now."""
        models = list(self._registry.models())
        queued = self._store.queued()
        workers = [_view(info) for info in self._registry.live_workers()]
        return Stats(
            jobs_waiting=self._store.jobs_waiting(models),
            images_queued=queued.get("images", 0),
            bytes_reserved=queued.get("bytes", 0),
            rows_running=sum(worker.load.rows_running for worker in workers),
            images_per_s=round(sum(worker.load.images_per_s for worker in workers), 3),
            occupancy=_occupancy(workers),
            queues=self._queues(models, queued),
            tenants=[
                TenantStats(name=name.removeprefix("tenant:"), images_queued=images)
                for name, images in sorted(queued.items())
                if name.startswith("tenant:")
            ],
            workers=workers,
        )

    def _queues(self, models: list[str], queued: dict[str, int]) -> list[QueueStats]:
        names = {queue_name(m, p): (m, p) for m in models for p in Priority}
        shards = depths(self._redis, list(names))
        return [
            QueueStats(
                model=model,
                priority=priority,
                shards=shards[name],
                images=queued.get(f"queue:{name}", 0),
            )
            for name, (model, priority) in names.items()
        ]


def _view(info: WorkerInfo) -> WorkerStats:
    return WorkerStats(name=info.name, model=info.model, load=info.load or SILENT)


def _occupancy(workers: list[WorkerStats]) -> float:
    """Of the steps that are taken: idle workers take none."""
    busy = [worker.load.occupancy for worker in workers if worker.load.steps_per_s > 0]
    return round(sum(busy) / len(busy), 3) if busy else 0.0
