"""How a job is answered with: now, or as soon as it is done; and when to ask again."""

from fastapi import Response
from starlette.concurrency import run_in_threadpool

from app.events import JobEvents
from app.idempotency import REPLAYED
from app.jobs import JobService
from app.prefer import Preferences
from app.resources.jobs import Job
from app.submissions import Accepted
from app.views import retry_after_s

UNDONE = {"Retry-After": {"description": "While not done.", "schema": {"type": "integer"}}}
WAITED = {"Preference-Applied": {"schema": {"type": "string"}}}
REPLAY = {
    REPLAYED: {
        "description": "Nothing new was queued: this is the job that was under this key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
LOCATED = {"Location": {"schema": {"type": "string"}}, **UNDONE, **WAITED, **REPLAY}
ACCEPTED = {"headers": LOCATED}
DONE_IN_TIME = {
    "model": Job,
    "description": "`Prefer: wait=N`, and the job is done in time.",
    "headers": LOCATED,
}


async def read(job_id: str, jobs: JobService, events: JobEvents, *, within_s: int | None) -> Job:
    """The job now, or as soon as it is done."""
    if within_s is not None:
        await events.until_done(
            job_id, lambda: run_in_threadpool(jobs.is_done, job_id), within_s=within_s
        )
    return await run_in_threadpool(jobs.get, job_id)


async def accepted(
    found: Accepted, response: Response, jobs: JobService, events: JobEvents, prefer: Preferences
) -> Job:
    """202, or 200 where the client waits and the job is done in time."""
    job = await read(found.job_id, jobs, events, within_s=prefer.wait_s)
    describe(job, response)
    if found.replayed:
        response.headers[REPLAYED] = "true"
    response.headers.update({"Location": job.urls.self, **prefer.headers})
    if job.done and prefer.wait_s is not None:
        response.status_code = 200
    return job


def describe(job: Job, response: Response) -> None:
    """Say when to ask again."""
    if not job.done:
        response.headers["Retry-After"] = str(retry_after_s(job))
