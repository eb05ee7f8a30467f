"""The request is right, only not now: each says when it may be.

ApiError
├── OverLimit                429  + Retry-After, RateLimit, RateLimit-Policy
│   ├── RateLimited               rate_limited
│   └── QuotaExceeded             quota_exceeded
├── QueueFull                429  queue_full              + Retry-After
├── RedisUnavailable         503  redis_unavailable       + Retry-After
├── NoWorker                 503  no_worker               + Retry-After
└── StorageFull              507  storage_full            + Retry-After

All others: `errors.py`.
"""

from app.errors import ApiError
from app.limits import Limit, headers_of


class OverLimit(ApiError):
    """The base of what a key has too little left for."""

    status = 429
    retry_after_s = 60  # where nobody can say when there will be more

    def __init__(self, detail: str | None = None, *, limit: Limit | None = None) -> None:
        headers = {} if limit is None else dict(headers_of(limit))
        if limit is not None and limit.reset_s is not None:
            headers["Retry-After"] = str(limit.reset_s)
        super().__init__(detail, headers=headers)


class RateLimited(OverLimit):
    """Too many requests in too short a time."""

    code, title = "rate_limited", "Rate limited"
    explanation = "The key has sent too many requests; wait for Retry-After seconds."


class QuotaExceeded(OverLimit):
    """The key's images of the day, or those queued at a time."""

    code, title = "quota_exceeded", "Quota exceeded"
    explanation = "The key's quota of images does not allow this; nothing was queued."


class QueueFull(ApiError):
    """Everybody together has queued enough."""

    status, code, title = 429, "queue_full", "Queue full"
    explanation = "The service has as many images queued as it takes; nothing was added."
    retry_after_s = 30


class RedisUnavailable(ApiError):
    """The same request may succeed in a moment. Nothing was accepted that we know of."""

    status, code, title = 503, "redis_unavailable", "Redis unavailable"
    explanation = "Redis does not answer."
    retry_after_s = 2


class NoWorker(ApiError):
    """Nobody is there to do it, and the client would rather not wait."""

    status, code, title = 503, "no_worker", "No worker"
    explanation = "No worker is alive."
    retry_after_s = 10


class StorageFull(ApiError):
    """Redis refuses writes; nothing was accepted."""

    status, code, title = 507, "storage_full", "Storage full"
    explanation = "Redis has no room for another job."
    retry_after_s = 30
