"""What can go wrong, for those who call.

DenoisedError
├── Unreachable          no answer, after every retry
├── Unsendable           a request that cannot be written; also a ValueError
├── UnexpectedAnswer     an answer, but not of this service
├── DamagedImage         pixels that are not those the job lists
├── StillRunning         the time given to `wait` is over; also a TimeoutError
├── ApiError             the service refused: status, code, detail, errors, problem, request_id
│   ├── InvalidRequest        400, 413, 415, 422: another request is needed
│   ├── NotAllowed            401, 403
│   ├── NotFound              404
│   ├── Expired               410
│   ├── TooManyRequests       429
│   └── Unavailable           502, 503, 504, 507
└── JobEnded             the job is done and did not succeed: job
    ├── JobFailed             error says why
    ├── JobCanceled
    └── JobExpired            its images are gone
"""

from collections.abc import Mapping, Sequence
from typing import Any

from denoised_client.resources import FieldError, JobProblem, JobSnapshot


class DenoisedError(Exception):
    """The base of all that this package raises on its own account."""


class Unreachable(DenoisedError):
    """The service could not be reached, or hung up, more often than we retry."""


class Unsendable(DenoisedError, ValueError):
    """The request cannot be written: NaN, say, or what is no text. Nothing was sent."""


class UnexpectedAnswer(DenoisedError):
    """Something answered that does not speak this contract: a proxy, or another service."""


class DamagedImage(DenoisedError):
    """What was downloaded does not have the pixels that the job lists."""


class StillRunning(DenoisedError, TimeoutError):
    """The job goes on; only the waiting has ended."""


class ApiError(DenoisedError):
    """A refusal: a problem document (RFC 9457), or the bare status of a proxy in between."""

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        *,
        errors: Sequence[FieldError] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        super().__init__(f"{self.code} ({status}): {self.detail}")


class InvalidRequest(ApiError):
    """Nothing was queued; `errors` says which fields, and why."""


class NotAllowed(ApiError):
    """A key is missing, unknown, or may not do this."""


class NotFound(ApiError):
    """Never seen, not finished yet, or another key's."""


class Expired(ApiError):
    """Was here; its time to live is over."""


class TooManyRequests(ApiError):
    """A limit of this key, or a full queue; `retry_after_s` says when to try again."""


class Unavailable(ApiError):
    """The service cannot do it at the moment; nothing was accepted."""


class JobEnded(DenoisedError):
    """The job is done, and did not succeed. What it had finished by then can still be had."""

    def __init__(self, job: JobSnapshot) -> None:
        self.job = job
        super().__init__(f"{job.id} {job.status}" + (f": {job.error.detail}" if job.error else ""))

    @property
    def error(self) -> JobProblem | None:
        """Why, where the service says so."""
        return self.job.error

    @property
    def code(self) -> str:
        """The error's stable code, or the job's status."""
        return self.job.error.code if self.job.error else self.job.status


class JobFailed(JobEnded):
    """`error` says why."""


class JobCanceled(JobEnded):
    """Somebody canceled it."""


class JobExpired(JobEnded):
    """Its results were kept for its ttl_s and are gone."""


KINDS: Mapping[int, type[ApiError]] = {
    400: InvalidRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    410: Expired,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}
ENDS: Mapping[str, type[JobEnded]] = {
    "failed": JobFailed,
    "canceled": JobCanceled,
    "expired": JobExpired,
}


def raise_unless_succeeded(job: JobSnapshot) -> None:
    """For a job that is done. Raises JobFailed, JobCanceled or JobExpired."""
    if job.status != "succeeded":
        raise ENDS.get(job.status, JobEnded)(job)
