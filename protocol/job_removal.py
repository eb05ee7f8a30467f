"""How a job goes before its time: record, images and what RQ has queued of it."""

from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.shard_queue import ShardQueue


def remove(store: JobStore, job: JobRecord) -> None:
    """End it if need be, and keep nothing of it, not even that it was here."""
    store.delete(job.id)
    request = job.request
    ShardQueue(store.redis, request.model, request.priority).withdraw(job.id, request.n)
