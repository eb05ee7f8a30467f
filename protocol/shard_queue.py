"""Shards as RQ jobs: how a job of n images is cut, and how its pieces are enqueued.

At most OUTSTANDING shards of a job are in RQ at a time; a shard's completion enqueues the one
OUTSTANDING further on. So a job of 100,000 images costs no more to submit than one of 10.
Beside `claiming` the only module of this package that imports rq.
"""

from collections.abc import Iterable

from redis import Redis
from redis.client import Pipeline
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from protocol.messages import Priority, ShardMessage

TASK = "worker.tasks.run_shard"  # a name on the worker's allow-list; nothing is imported by it
SHARD_IMAGES = 32
OUTSTANDING = 4
RUNS_ALLOWED = 1_000_000  # by RQ: which crashes count is for our record to say
BOOKKEEPING_KEPT_S = 3600  # RQ's own records; the job's are ours
QUEUED = JobStatus.QUEUED.value.encode()
# Unless a worker has just claimed it. No MULTI: a full Redis refuses that, whatever is in it.
REMOVE = """
if redis.call('HGET', KEYS[1], 'status') == ARGV[1] then
  redis.call('LREM', KEYS[2], 1, ARGV[2])
  redis.call('DEL', KEYS[1])
end
"""
UNLIMITED = -1  # RQ's timeout: deadlines are the engine's, not a signal's


def queue_name(model: str, priority: Priority) -> str:
    """One RQ queue for each model and priority."""
    return f"{model}.{priority}"


def queue_names(model: str) -> list[str]:
    """A model's queues in the order in which they are asked."""
    return [queue_name(model, priority) for priority in Priority]


def depths(redis: Redis, names: list[str]) -> dict[str, int]:
    """RQ jobs that wait in each of these queues, in one round trip."""
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"{Queue.redis_queue_namespace_prefix}{name}")
        return dict(zip(names, pipe.execute(), strict=True))


def shards_of(n: int) -> int:
    """How many shards n images make."""
    return -(-n // SHARD_IMAGES)


def slots_of(shard: int, n: int) -> range:
    """The slots (index - first_index) of a shard."""
    return range(shard * SHARD_IMAGES, min((shard + 1) * SHARD_IMAGES, n))


class ShardQueue:
    """The RQ queue of one model and priority, JSON only."""

    def __init__(self, redis: Redis, model: str, priority: Priority) -> None:
        self.redis = redis
        self._remove = redis.register_script(REMOVE)
        self._queue = Queue(
            queue_name(model, priority), connection=redis, serializer=JSONSerializer
        )

    def enqueue_first(self, job_id: str, n: int, pipe: Pipeline) -> None:
        """Add the job's first shards to a transaction."""
        for shard in range(min(OUTSTANDING, shards_of(n))):
            self._enqueue(job_id, shard, pipe)

    def enqueue_after(self, job_id: str, shard: int, n: int) -> None:
        """Enqueue the shard that follows a finished one, once, however often this is called."""
        following = shard + OUTSTANDING
        if following >= shards_of(n):
            return
        key = Job.key_for(rq_job_id(job_id, following))

        def enqueue_unless_there(pipe: Pipeline) -> None:
            if not pipe.exists(key):
                pipe.multi()
                self._enqueue(job_id, following, pipe)

        # Again where somebody else was faster, for that is also what a lost connection looks like.
        self.redis.transaction(enqueue_unless_there, key)

    def enqueue_lost(self, job_id: str, shards: Iterable[int]) -> None:
        """Enqueue shards that RQ has lost sight of, whatever it has kept of them."""
        with self.redis.pipeline(transaction=True) as pipe:
            for shard in shards:
                self._enqueue(job_id, shard, pipe)
            pipe.execute()

    def withdraw(self, job_id: str, n: int) -> None:
        """Take what is queued of a job out of RQ. What a worker has begun, it ends itself, and RQ
        forgets within the hour."""
        rq_ids = [rq_job_id(job_id, shard) for shard in range(shards_of(n))]
        with self.redis.pipeline(transaction=False) as pipe:
            for rq_id in rq_ids:
                pipe.hget(Job.key_for(rq_id), "status")
            found = pipe.execute()
        for rq_id, status in zip(rq_ids, found, strict=True):
            if status == QUEUED:
                self._remove(keys=[Job.key_for(rq_id), self._queue.key], args=[QUEUED, rq_id])

    def _enqueue(self, job_id: str, shard: int, pipe: Pipeline) -> None:
        self._queue.enqueue_call(
            TASK,
            kwargs={"message": ShardMessage(job_id=job_id, shard=shard).model_dump()},
            job_id=rq_job_id(job_id, shard),
            description=f"shard {shard} of {job_id}",
            timeout=UNLIMITED,
            result_ttl=BOOKKEEPING_KEPT_S,
            failure_ttl=BOOKKEEPING_KEPT_S,
            retry=Retry(max=RUNS_ALLOWED, enqueue_at_front=True),
            pipeline=pipe,
        )


def rq_job_id(job_id: str, shard: int) -> str:
    """RQ allows letters, digits, `_` and `-`."""
    return f"{job_id}-{shard}"
