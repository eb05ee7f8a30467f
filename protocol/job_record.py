"""A job's record: the hash that a submission writes, and what it says later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.event_log import StreamId
from protocol.messages import Claim, JobAbout, JobError, JobRequest
from protocol.states import JobState

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. Times are seconds since the epoch by Redis's clock, but for two."""

    id: str
    tenant: str
    status: JobState
    request: JobRequest
    model_sha256: str
    engine: str | None
    images_done: int
    attempts: int
    error: JobError | None
    created_at: float  # by the front end's clock
    started_at: float | None
    first_step_at: float | None  # by the worker's
    finished_at: float | None
    expires_at: float | None
    done_event: StreamId | None  # of the event that told its end
    claim: Claim | None = None  # of the image it is to verify


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is submitted; `created_at` in seconds since the epoch."""

    id: str
    request: JobRequest
    model_sha256: str
    created_at: float
    tenant: str = DEFAULT_TENANT
    sources: Mapping[str, bytes] = field(default_factory=dict)  # pixels it starts from or verifies
    image_bytes: int = 0  # what each of its images will take
    claim: Claim | None = None  # of the image it is to verify
    engine: str = ""  # that alone may begin it
    request_id: str = ""

    def fields(self) -> Mapping[Any, Any]:
        """Its first hash. Scripts move it on."""
        request = self.request
        return {
            "status": JobState.QUEUED,
            "request": request.model_dump_json(),
            "tenant": self.tenant,
            "model": request.model,
            "priority": request.priority,
            "n": request.n,
            "image_bytes": self.image_bytes,
            "counted": 1,
            "ttl_s": request.ttl_s,
            "timeout_s": request.timeout_s or "",
            "model_sha256": self.model_sha256,
            "engine": self.engine,
            "request_id": self.request_id,
            "images_done": 0,
            "attempts": 0,
            "error": "",
            "created_at": f"{self.created_at:.6f}",
            "claim": "" if self.claim is None else self.claim.model_dump_json(),
            **_webhook_fields(request),
        }


def record_of(job_id: str, raw: Mapping[bytes, bytes]) -> JobRecord:
    """What the hash in Redis says."""
    text = {name.decode(): value.decode() for name, value in raw.items()}

    def time_of(name: str) -> float | None:
        return float(text[name]) if text.get(name) else None

    return JobRecord(
        id=job_id,
        tenant=text["tenant"],
        status=JobState(text["status"]),
        request=JobRequest.model_validate_json(text["request"]),
        model_sha256=text["model_sha256"],
        engine=text["engine"] or None,
        images_done=int(text["images_done"]),
        attempts=int(text["attempts"]),
        error=JobError.model_validate_json(text["error"]) if text["error"] else None,
        created_at=float(text["created_at"]),
        started_at=time_of("started_at"),
        first_step_at=time_of("first_step_at"),
        finished_at=time_of("finished_at"),
        expires_at=time_of("expires_at"),
        done_event=StreamId.parse(text.get("done_event", "")),
        claim=Claim.model_validate_json(text["claim"]) if text.get("claim") else None,
    )


def _webhook_fields(request: JobRequest) -> Mapping[Any, str]:
    """What the script that ends the job needs to tell of it."""
    if request.webhook is None:
        return {}
    about = JobAbout(task=request.task, model=request.model, metadata=request.metadata)
    return {
        "webhook_url": request.webhook.url,
        "webhook_events": ",".join(request.webhook.events),
        "webhook_about": about.model_dump_json(),
    }
