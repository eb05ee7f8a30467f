"""/v1/jobs: submit, read, cancel."""

from fastapi import APIRouter, Depends, Response
from starlette.concurrency import run_in_threadpool

from app import etags
from app.deps import Events, JobId, Jobs, Prefer, json_only
from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    Expired,
    InvalidImage,
    InvalidRequest,
    JobNotFound,
    MalformedJson,
    NoWorker,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RedisUnavailable,
    StorageFull,
    UnsupportedMediaType,
)
from app.etags import IfNoneMatch
from app.events import JobEvents
from app.jobs import JobService
from app.openapi import documented
from app.resources import Job
from app.schemas import JobSubmission
from app.views import retry_after_s

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
UNDONE = {"Retry-After": {"description": "While not done.", "schema": {"type": "integer"}}}
WAITED = {"Preference-Applied": {"schema": {"type": "string"}}}


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    dependencies=[Depends(json_only)],
    response_description="The job is in Redis and will end, whatever dies.",
    responses={
        202: {"headers": {"Location": {"schema": {"type": "string"}}, **UNDONE, **WAITED}},
        200: {"model": Job, "description": "`Prefer: wait=N`, and the job is done in time."},
        **documented(
            MalformedJson,
            BodyTimeout,
            BodyTooLarge,
            UnsupportedMediaType,
            InvalidRequest,
            InvalidImage,
            RateLimited,
            QueueFull,
            QuotaExceeded,
            RedisUnavailable,
            NoWorker,
            StorageFull,
        ),
    },
)
async def submit(
    submission: JobSubmission, response: Response, jobs: Jobs, events: Events, prefer: Prefer
) -> Job:
    """Queue n images of a seed. Everything left out is resolved, and told in `request`."""
    job_id = await run_in_threadpool(jobs.submit, submission, strict=prefer.strict)
    job = await _read(job_id, jobs, events, within_s=prefer.wait_s)
    _describe(job, response)
    response.headers.update({"Location": job.urls.self, **prefer.headers})
    if job.done:
        response.status_code = 200
    return job


@router.get(
    "/{job_id}",
    response_model=Job,
    summary="Read a job, or wait for it",
    response_description="The job as it stands.",
    responses={
        200: {"headers": {**UNDONE, **WAITED, **etags.HEADER}},
        304: etags.NOT_MODIFIED,
        **documented(JobNotFound, Expired, InvalidRequest, RedisUnavailable),
    },
)
async def get(
    job_id: JobId,
    response: Response,
    jobs: Jobs,
    events: Events,
    prefer: Prefer,
    if_none_match: IfNoneMatch = "",
) -> Job | Response:
    """Poll it, or hold the answer with `Prefer: wait=N`. `images` fills as they finish."""
    job = await _read(job_id, jobs, events, within_s=prefer.wait_s)
    etag = etags.weak(job.model_dump_json())
    response.headers.update({"ETag": etag, **prefer.headers})
    _describe(job, response)
    if etags.matches(if_none_match, etag):
        return Response(status_code=304, headers=response.headers)
    return job


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    summary="Cancel a job",
    response_description="Canceled at once if it had not begun, else `canceling` for a moment.",
    responses={
        200: {"model": Job, "description": "It was done already; nothing has changed."},
        **documented(JobNotFound, Expired, InvalidRequest, RedisUnavailable, StorageFull),
    },
)
def cancel(job_id: JobId, response: Response, jobs: Jobs) -> Job:
    """Finished images stay. Asking again does no harm."""
    job, was_open = jobs.cancel(job_id)
    _describe(job, response)
    if not was_open:
        response.status_code = 200
    return job


async def _read(job_id: str, jobs: JobService, events: JobEvents, *, within_s: int | None) -> Job:
    """The job now, or as soon as it is done."""
    if within_s is not None:
        await events.until_done(
            job_id, lambda: run_in_threadpool(jobs.is_done, job_id), within_s=within_s
        )
    return await run_in_threadpool(jobs.get, job_id)


def _describe(job: Job, response: Response) -> None:
    """Say when to ask again."""
    if not job.done:
        response.headers["Retry-After"] = str(retry_after_s(job))
