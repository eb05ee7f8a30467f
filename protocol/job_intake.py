"""How a job comes in: record, first shards and all that counts it, in one script."""

from collections.abc import Callable
from functools import partial

from redis import Redis
from redis.client import Pipeline

from protocol import keys
from protocol.admission import NO_BOUNDS, Admission, Bounds
from protocol.idempotency import Once, taken_if_lost
from protocol.job_record import NewJob
from protocol.shard_queue import ShardQueue


def first_shards(redis: Redis, job: NewJob) -> Callable[[Pipeline], None]:
    """What adds the job's first shards to its submission."""
    queue = ShardQueue(redis, job.request.model, job.request.priority)
    return partial(queue.enqueue_first, job.id, job.request.n)


class JobIntake:
    """Takes jobs in, if they are admitted."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._admission = Admission(redis)

    def submit(
        self,
        job: NewJob,
        *,
        bounds: Bounds = NO_BOUNDS,
        once: Once | None = None,
        enqueue: Callable[[Pipeline], None],
    ) -> None:
        """Record the job and whatever `enqueue` adds, in one script: all of it, or nothing.

        Raises NotAdmitted where that would pass the bounds; NameTaken where `once` was used before:
        nothing was written, or it was, by this call, whose answer was lost.
        """
        with taken_if_lost(once), self._redis.pipeline(transaction=True) as pipe:
            pipe.multi()
            _record(pipe, job)
            enqueue(pipe)
            _wake(pipe, job.request.model)
            if once is not None:
                once.take(pipe, job.id)
            self._admission.execute(pipe, job, bounds=bounds, once=once)


def _record(pipe: Pipeline, job: NewJob) -> None:
    pipe.hset(keys.job(job.id), mapping=job.fields())
    for name, pixels in job.sources.items():
        pipe.hset(keys.sources(job.id), name, pixels)
    pipe.zadd(keys.jobs(job.tenant), {job.id: 0})
    pipe.zadd(keys.waiting(job.request.model), {job.id: job.created_at})
    pipe.zadd(keys.unended(job.request.model), {job.id: job.created_at})


def _wake(pipe: Pipeline, model: str) -> None:
    pipe.lpush(keys.wake(model), 1)
    pipe.ltrim(keys.wake(model), 0, keys.WAKE_HINTS - 1)
