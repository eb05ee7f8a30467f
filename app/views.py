"""From the record in Redis to the job a client sees. Pure: the clock is an argument."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.problems import type_of
from app.resources.jobs import (
    Image,
    Job,
    JobItem,
    JobProblem,
    JobUrls,
    ModelRef,
    Progress,
    Verification,
)
from protocol.job_record import JobRecord
from protocol.messages import ImageManifest, JobError
from protocol.states import JobState

LISTED_IMAGES = 1000
LONGEST_POLL_S = 10


@dataclass(frozen=True, slots=True)
class Findings:
    """What is kept beside a record, read where the record's state makes it worth a round trip."""

    manifests: Mapping[int, ImageManifest] = field(default_factory=dict)
    steps_in_flight: int = 0
    queue_position: int | None = None
    verification: Verification | None = None


def status_of(record: JobRecord, *, now: float) -> JobState:
    """As stored, or `expired`, which nobody has to write."""
    if record.status.done and record.expires_at is not None and record.expires_at <= now:
        return JobState.EXPIRED
    return record.status


def listed(record: JobRecord) -> range:
    """The indices a job's own JSON speaks of."""
    first = record.request.first_index
    return range(first, first + min(record.request.n, LISTED_IMAGES))


def job_view(record: JobRecord, findings: Findings, *, now: float) -> Job:
    """The whole resource."""
    common = _common(record, findings, now=now)
    images = [image_view(record.id, found) for _, found in sorted(findings.manifests.items())]
    more = common["progress"].images_done > len(images)
    return Job(
        **common,
        images=images,
        images_truncated=more and common["status"] is not JobState.EXPIRED,
        verification=findings.verification,
    )


def item_view(record: JobRecord, findings: Findings, *, now: float) -> JobItem:
    """What a list tells of it."""
    return JobItem(**_common(record, findings, now=now))


def image_view(job_id: str, found: ImageManifest) -> Image:
    """A finished image, with its URL."""
    return Image(**dict(found), url=f"{url_of(job_id)}/images/{found.index}.png")


def url_of(job_id: str) -> str:
    """Where a job is."""
    return f"/v1/jobs/{job_id}"


def preview_url(job_id: str) -> str:
    """Where its preview is."""
    return f"{url_of(job_id)}/preview.png"


def retry_after_s(job: Job) -> int:
    """When asking again is worth while: about when it is done, within bounds."""
    return min(max(1, math.ceil(job.progress.eta_s or 0)), LONGEST_POLL_S)


def _common(record: JobRecord, findings: Findings, *, now: float) -> dict[str, Any]:
    status, request = status_of(record, now=now), record.request
    return {
        "id": record.id,
        "status": status,
        "done": status.done,
        "task": request.task if record.claim is None else "verify",
        "model": ModelRef(name=request.model, sha256=record.model_sha256),
        "engine": record.engine,
        "request": request,
        "progress": _progress(record, findings, status, now=now),
        "error": None if record.error is None else _job_problem(record.error),
        "attempts": record.attempts,
        "created_at": _time(record.created_at),
        "started_at": _time_or_none(record.started_at),
        "finished_at": _time_or_none(record.finished_at),
        "expires_at": _time_or_none(record.expires_at),
        "urls": _urls(record.id),
        "metadata": request.metadata,
    }


def _progress(record: JobRecord, findings: Findings, status: JobState, *, now: float) -> Progress:
    """The manifests may have been read a moment after the record: the larger count is the later."""
    steps, n = record.request.sampler.steps, record.request.n
    images_done = max(record.images_done, len(findings.manifests))
    steps_done = min(n * steps, images_done * steps + findings.steps_in_flight)
    return Progress(
        fraction=steps_done / (n * steps),
        steps_done=steps_done,
        steps_total=n * steps,
        images_done=images_done,
        images_total=n,
        eta_s=_eta_s(record, steps_done, now=now) if status is JobState.RUNNING else None,
        queue_position=findings.queue_position,
    )


def _eta_s(record: JobRecord, steps_done: int, *, now: float) -> float | None:
    """At the pace since the first step."""
    since = record.first_step_at or record.started_at
    if since is None or now <= since or steps_done == 0:
        return None
    steps_left = record.request.n * record.request.sampler.steps - steps_done
    return round(steps_left * (now - since) / steps_done, 3)


def _job_problem(error: JobError) -> JobProblem:
    return JobProblem(
        type=type_of(error.code), title=error.title, detail=error.detail, code=error.code
    )


def _urls(job_id: str) -> JobUrls:
    url = url_of(job_id)
    return JobUrls(
        self=url,
        cancel=f"{url}/cancel",
        events=f"{url}/events",
        images=f"{url}/images",
        archive=f"{url}/archive.zip",
        grid=f"{url}/grid.png",
        preview=preview_url(job_id),
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _time_or_none(at: float | None) -> datetime | None:
    return None if at is None else _time(at)
