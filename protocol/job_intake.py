"""How a job comes in: record, first shards and all that counts it, in one script."""

from collections.abc import Callable, Mapping

from redis import Redis
from redis.client import Pipeline

from protocol import keys
from protocol.admission import NO_BOUNDS, Admission, Bounds
from protocol.idempotency import Once, taken_if_lost
from protocol.job_record import DEFAULT_TENANT, first_fields
from protocol.messages import Claim, JobRequest

JOB_BYTES = 16_384  # of a record, its shards in RQ and what belongs to them, about


class JobIntake:
    """Takes jobs in, if they are admitted."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._admission = Admission(redis)

    def submit(
        self,
        job_id: str,
        request: JobRequest,
        *,
        model_sha256: str,
        created_at: float,
        tenant: str = DEFAULT_TENANT,
        sources: Mapping[str, bytes] | None = None,
        bounds: Bounds = NO_BOUNDS,
        image_bytes: int = 0,
        claim: Claim | None = None,
        engine: str = "",
        request_id: str = "",
        once: Once | None = None,
        enqueue: Callable[[Pipeline], None],
    ) -> None:
        """Record the job and whatever `enqueue` adds, in one script: all of it, or nothing.

        `sources` are the pixels of the request's own, by the same names; of a job that verifies an
        image, those of the image. `engine` pins the job before its first claim does. `image_bytes`
        is what each of its images will take. Raises NotAdmitted where that would pass the bounds;
        NameTaken where `once` was used before: nothing was written, or it was, by this call, whose
        answer was lost.
        """
        sources = sources or {}
        with taken_if_lost(once), self._redis.pipeline(transaction=True) as pipe:
            pipe.multi()
            fields = first_fields(
                request,
                model_sha256=model_sha256,
                created_at=created_at,
                tenant=tenant,
                image_bytes=image_bytes,
                claim=claim,
                engine=engine,
                request_id=request_id,
            )
            pipe.hset(keys.job(job_id), mapping=fields)
            for name, pixels in sources.items():
                pipe.hset(keys.sources(job_id), name, pixels)
            pipe.zadd(keys.jobs(tenant), {job_id: 0})
            pipe.zadd(keys.waiting(request.model), {job_id: created_at})
            pipe.zadd(keys.unended(request.model), {job_id: created_at})
            enqueue(pipe)
            pipe.lpush(keys.wake(request.model), 1)
            pipe.ltrim(keys.wake(request.model), 0, keys.WAKE_HINTS - 1)
            if once is not None:
                once.take(pipe, job_id)
            self._admission.execute(
                pipe,
                request,
                tenant=tenant,
                bounds=bounds,
                image_bytes=image_bytes,
                job_bytes=JOB_BYTES + sum(map(len, sources.values())),
                once=once,
            )
