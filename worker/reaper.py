"""Puts back what dead workers left: RQ's own cleanup is slow, and racy when run twice at once.

Every live worker runs it, one at a time under a lock in Redis; each job is moved under WATCH, so
that even two at once would move it once.
"""

import logging
import time
from typing import cast

from redis import Redis
from redis.exceptions import WatchError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure

from protocol import keys
from protocol.job_store import JobStore
from protocol.messages import JobError
from worker.sightings import Sightings

log = logging.getLogger(__name__)
EVERY_S = 2.5
ORPHAN_AFTER_S = 5.0  # between RQ's LMOVE and our claim; normally a millisecond
AT_MOST = 200
INTERNAL = JobError(
    code="internal",
    title="Internal error",
    detail="A fault of this service; the worker's log says which. Finished images stay.",
)


class Reaper:
    """Abandoned shards of one model's queues, back to the front of their queue."""

    def __init__(self, redis: Redis, store: JobStore, queues: list[Queue], *, model: str) -> None:
        self._redis, self._store, self._queues = redis, store, queues
        self._lock = keys.reaper_lock(model)
        self._unclaimed = Sightings(redis, keys.unclaimed(model))
        self.abandoned = 0  # shards that were put back
        # By queue: RQ jobs whose failure has been passed on, as long as RQ lists them.
        self._given_up: dict[str, set[str]] = {}

    def run(self) -> None:
        """One round, if nobody else is at it."""
        if not self._redis.set(self._lock, "1", nx=True, px=int(EVERY_S * 900)):
            return
        for queue in self._queues:
            self._reap_leases(queue)
            self._pass_on_failures(queue)
            # RQ's own maintenance, which does this for others, never runs in a BatchWorker.
            queue.finished_job_registry.cleanup()
            queue.failed_job_registry.cleanup()
        self._reap_orphans()

    def _reap_leases(self, queue: Queue) -> None:
        registry = queue.started_job_registry.key
        late = self._redis.zrangebyscore(registry, 0, time.time(), start=0, num=AT_MOST)
        for member in cast(list[bytes], late):
            try:
                self._requeue(queue, registry, member)
            except WatchError:
                continue  # its worker spoke up, or another reaper was faster

    def _requeue(self, queue: Queue, registry: str, member: bytes) -> None:
        """Move one job whose lease ran out, unless it changes while we look."""
        rq_id = _text(member).split(":")[0]
        with self._redis.pipeline() as pipe:
            # Not the registry: every heartbeat touches that.
            pipe.watch(queue.job_class.key_for(rq_id))  # type: ignore[no-untyped-call]
            score = pipe.zscore(registry, member)
            if score is None or score > time.time():
                return
            job = _found(queue, rq_id)
            pipe.multi()
            pipe.zrem(registry, member)
            if job is not None and job.get_status(refresh=False) == JobStatus.STARTED:
                log.warning("%s: abandoned by its worker", rq_id)
                if job.should_retry:
                    job.retry(queue, pipe)
                else:
                    record_job_failure(job, INTERNAL.detail, pipe)
            pipe.execute()
        self.abandoned += 1

    def _pass_on_failures(self, queue: Queue) -> None:
        """A shard that RQ gave up fails its job. The latest first: old ones keep none waiting."""
        members = cast(list[bytes], self._redis.zrevrange(queue.failed_job_registry.key, 0, -1))
        failed = [_text(member) for member in members]
        known = self._given_up.get(queue.name, set())
        fresh = [rq_id for rq_id in failed if rq_id not in known][:AT_MOST]
        for rq_id in fresh:
            job_id, _, shard = rq_id.rpartition("-")
            if shard.isdecimal():  # a ² is a digit, and no number
                self._store.fail_job(job_id, int(shard), INTERNAL)
        self._given_up[queue.name] = known.intersection(failed).union(fresh)

    def _reap_orphans(self) -> None:
        """Jobs whose worker died between taking them from the queue and claiming them."""
        taken = {rq_id: queue for queue in self._queues for rq_id in self._taken(queue)}
        for rq_id, seen_s in self._unclaimed.again(taken).items():
            if seen_s > ORPHAN_AFTER_S:
                self._put_back(taken[rq_id], rq_id)

    def _taken(self, queue: Queue) -> list[bytes]:
        found = self._redis.lrange(queue.intermediate_queue_key, 0, AT_MOST - 1)
        return cast(list[bytes], found)

    def _put_back(self, queue: Queue, rq_id: bytes) -> None:
        name = _text(rq_id)
        with self._redis.pipeline() as pipe:
            try:
                pipe.watch(queue.job_class.key_for(name))  # type: ignore[no-untyped-call]  # a claim changes it
                job = _found(queue, name)
                queued = job is not None and job.get_status(refresh=False) == JobStatus.QUEUED
                pipe.multi()
                pipe.lrem(queue.intermediate_queue_key, 1, rq_id)  # type: ignore[arg-type]
                if queued:
                    pipe.lpush(queue.key, rq_id)
                pipe.execute()
            except WatchError:
                return
        self.abandoned += queued
        log.warning("%s: was taken but never begun; put back: %s", name, queued)


def _found(queue: Queue, rq_id: str) -> Job | None:
    """The job of an id, or None where there is no record, or none that can be read."""
    try:
        return queue.job_class.fetch(rq_id, queue.connection, queue.serializer)
    except (NoSuchJobError, ValueError):  # ValueError: the id is none that RQ allows
        return None


def _text(raw: bytes) -> str:
    """An id as somebody has written it, who need not have been one of us."""
    return raw.decode(errors="replace")
