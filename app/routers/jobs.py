"""/v1/jobs: submit, list, read, cancel, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from app import answers, etags
from app.answers import ACCEPTED, LOCATED, UNDONE, WAITED
from app.deps import (
    Events,
    JobId,
    Jobs,
    MetadataFilters,
    PageToken,
    Prefer,
    Submissions,
    json_only,
)
from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    Expired,
    IdempotencyKeyReused,
    InvalidImage,
    InvalidRequest,
    JobNotFound,
    MalformedJson,
    MalformedKey,
    UnsupportedMediaType,
)
from app.etags import IfNoneMatch
from app.idempotency import IdempotencyKey
from app.job_filters import JobFilters
from app.openapi import documented
from app.resources.jobs import DryRun, Job, JobPage
from app.schemas import JobSubmission
from app.shortages import (
    NoWorker,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RedisUnavailable,
    StorageFull,
)
from protocol.messages import MODEL_NAME_PATTERN
from protocol.states import JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
MAX_PAGE, DEFAULT_PAGE = 200, 20
ANY_OF = "Several: any of them."
METADATA_QUERY = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "form",
    "explode": True,
    "description": "`metadata.KEY=value`: jobs whose metadata have this value under this key of "
    "the first level; what is no text is written as JSON: `true`, `7`, `null`.",
    "schema": {
        "type": "object",
        "propertyNames": {"pattern": "^metadata\\..+$"},
        "additionalProperties": {"type": "string"},
    },
}
Rehearsal = Annotated[
    bool,
    Query(description="Queue nothing; answer 200 with what would be queued, and what it costs."),
]


@router.post(
    "",
    status_code=202,
    response_model=Job,
    summary="Submit a job",
    dependencies=[Depends(json_only)],
    response_description="The job is in Redis and will end, whatever dies.",
    responses={
        202: ACCEPTED,
        200: {
            "model": Job | DryRun,
            "description": "`Prefer: wait=N`, and the job is done in time; or `dry_run`.",
            "headers": LOCATED,
        },
        **documented(
            MalformedJson,
            MalformedKey,
            BodyTimeout,
            BodyTooLarge,
            UnsupportedMediaType,
            JobNotFound,
            InvalidRequest,
            InvalidImage,
            IdempotencyKeyReused,
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
    submission: JobSubmission,
    response: Response,
    submissions: Submissions,
    jobs: Jobs,
    events: Events,
    prefer: Prefer,
    named: IdempotencyKey,
    dry_run: Rehearsal = False,
) -> Job | Response:
    """Queue n images of a seed. Everything left out is resolved, and told in `request`."""
    if dry_run:
        rehearsed = await run_in_threadpool(submissions.rehearse, submission, strict=prefer.strict)
        return JSONResponse(rehearsed.model_dump(mode="json"))
    accepted = await run_in_threadpool(
        submissions.submit, submission, strict=prefer.strict, named=named
    )
    return await answers.accepted(accepted, response, jobs, events, prefer)


@router.get(
    "",
    summary="List jobs",
    response_description="Newest first, all but their images. A page with filters may be short, "
    "or empty, and still have a successor.",
    responses=documented(InvalidRequest, RedisUnavailable),
    openapi_extra={"parameters": [METADATA_QUERY]},
)
def list_all(
    jobs: Jobs,
    metadata: MetadataFilters,
    status: Annotated[list[JobState] | None, Query(description=ANY_OF)] = None,
    model: Annotated[
        list[Annotated[str, Query(pattern=MODEL_NAME_PATTERN)]] | None, Query(description=ANY_OF)
    ] = None,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: PageToken = None,
) -> JobPage:
    """Yours, by status, model and metadata; all filters must fit."""
    wanted = JobFilters.of(status or (), model or (), metadata)
    return jobs.page(wanted, size=page_size, token=page_token)


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
    job = await answers.read(job_id, jobs, events, within_s=prefer.wait_s)
    etag = etags.weak(job.model_dump_json())
    response.headers.update({"ETag": etag, **prefer.headers})
    answers.describe(job, response)
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
    answers.describe(job, response)
    if not was_open:
        response.status_code = 200
    return job


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Delete a job",
    response_description="Its images and its record are gone; it answers 404 from now on.",
    responses=documented(JobNotFound, Expired, InvalidRequest, RedisUnavailable, StorageFull),
)
def delete(job_id: JobId, jobs: Jobs) -> None:
    """Canceled first, if it was not done."""
    jobs.delete(job_id)
