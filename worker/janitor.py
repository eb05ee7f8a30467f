"""What nobody else would miss: jobs that RQ has lost sight of, names of workers long dead.

RQ's own cleanup is run, unlocked, by whoever looks at a registry (`rq info` does). It may requeue a
shard that somebody has begun meanwhile, and then two runs of it tell RQ two stories. Our record is
the truth: a job that has not ended, and none of whose shards is queued or running, goes on.
"""

import logging
from itertools import islice
from typing import cast

from redis import Redis
from rq import Queue
from rq.worker_registration import clean_worker_registry

from protocol import keys
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.registry import Registry
from protocol.shard_queue import OUTSTANDING, ShardQueue, shards_of, slots_of
from worker.sightings import Sightings

log = logging.getLogger(__name__)
EVERY_S = 10.0
AT_MOST = 1000  # jobs looked at in a round
BROUGHT_BACK = 100  # jobs at most in a round; the others' turn comes with the next


class Janitor:
    """Of one model. A job must look lost in two rounds: in one it may just be between two lists."""

    def __init__(self, redis: Redis, store: JobStore, queues: list[Queue], *, model: str) -> None:
        self._redis, self._store, self._queues, self._model = redis, store, queues, model
        self._registry = Registry(redis)
        self._missed = Sightings(redis, keys.lost(model))

    def run(self) -> None:
        """One round, if nobody else is at it."""
        if not self._redis.set(keys.janitor_lock(self._model), "1", nx=True, px=int(EVERY_S * 900)):
            return
        self._registry.forget_dead()
        for queue in self._queues:
            clean_worker_registry(queue)
        missed_again = self._missed.again(self._lost())
        for job_id in sorted(missed_again)[:BROUGHT_BACK]:  # by id: the oldest first
            self._bring_back(job_id.decode())

    def _lost(self) -> set[bytes]:
        """Jobs that should be going on, and of which RQ knows nothing."""
        oldest = self._redis.zrange(keys.unended(self._model), 0, AT_MOST - 1)
        jobs = set(cast(list[bytes], oldest))
        return jobs - self._known_to_rq() if jobs else set()

    def _known_to_rq(self) -> set[bytes]:
        """Jobs with a shard that is queued, on its way to a worker, or with one."""
        with self._redis.pipeline(transaction=True) as pipe:
            for queue in self._queues:
                pipe.lrange(queue.key, 0, -1)
                pipe.lrange(queue.intermediate_queue_key, 0, -1)
                pipe.zrange(queue.started_job_registry.key, 0, -1)
            entries = [entry for found in pipe.execute() for entry in found]
        shards = [entry.partition(b":")[0] for entry in entries]
        return {shard.rpartition(b"-")[0] for shard in shards}

    def _bring_back(self, job_id: str) -> None:
        job = self._store.get(job_id)
        if job is None or job.status.done:
            self._redis.zrem(keys.unended(self._model), job_id)
            return
        shards = self._unfinished(job)
        log.warning("%s: RQ has lost it; enqueued again: shards %s", job_id, shards)
        ShardQueue(self._redis, self._model, job.request.priority).enqueue_lost(job_id, shards)

    def _unfinished(self, job: JobRecord) -> list[int]:
        """The first shards with an image missing, as many as may be outstanding.

        The last one of a job that has all its images, and yet has not ended: its begin ends it.
        """
        request = job.request
        # Asked for at once: shard by shard it would be 3,000 round trips for 100,000 images.
        made = set(cast(list[bytes], self._redis.hkeys(keys.images(job.id))))

        def is_missing(slot: int) -> bool:
            return b"%d" % (request.first_index + slot) not in made

        shards = range(shards_of(request.n))
        found = (k for k in shards if any(map(is_missing, slots_of(k, request.n))))
        return list(islice(found, OUTSTANDING)) or [shards[-1]]
