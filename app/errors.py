"""What a request can be refused for. Each error knows its status and its stable code.

ApiError
├── MalformedJson            400  malformed_json
├── MalformedKey             400  malformed_key
├── Unauthenticated          401  unauthenticated         + WWW-Authenticate
├── Forbidden                403  forbidden
├── NotFound                 404  not_found
│   ├── JobNotFound               job_not_found
│   ├── ImageNotFound             image_not_found
│   ├── ModelNotFound             model_not_found
│   └── DeliveryNotFound          delivery_not_found
├── MethodNotAllowed         405  method_not_allowed
├── BodyTimeout              408  request_timeout         + Connection: close
├── Expired                  410  expired
├── BodyTooLarge             413  body_too_large
├── UnsupportedMediaType     415  unsupported_media_type
├── RangeNotSatisfiable      416  range_not_satisfiable   + Content-Range
├── InvalidRequest           422  invalid_request         + errors: [{pointer, detail}]
│   ├── InvalidImage              invalid_image
│   └── IdempotencyKeyReused      idempotency_key_reused
└── Internal                 500  internal

What is right, only not now: `shortages.py`. How all are written, and what becomes of other
people's exceptions: `problems.py`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException


class FieldError(BaseModel):
    """One thing wrong with a request."""

    pointer: str = Field(
        description="JSON Pointer into the body, or `/name` of a query parameter.",
        examples=["/sampler/steps"],
    )
    detail: str = Field(examples=["The model has T = 1000 steps."])


class ApiError(HTTPException):
    """The base. Starlette's, because FastAPI lets those pass while it reads a body."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        extra = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        super().__init__(self.status, detail or self.explanation, {**extra, **(headers or {})})


class MalformedJson(ApiError):
    """The body is no JSON text at all."""

    status, code, title = 400, "malformed_json", "Malformed JSON"
    explanation = "The body is not JSON."


class MalformedKey(ApiError):
    """An Idempotency-Key that cannot be read: to ignore it could mean to do it twice."""

    status, code, title = 400, "malformed_key", "Malformed key"
    explanation = (
        "An Idempotency-Key is a string of visible ASCII characters, 255 at most; "
        "quote it where it has spaces."
    )


class Unauthenticated(ApiError):
    """No key, or none that is known; `error` is RFC 6750's word for which."""

    status, code, title = 401, "unauthenticated", "Unauthenticated"
    explanation = "Send an API key: Authorization: Bearer <key>."

    def __init__(self, detail: str | None = None, *, error: str | None = None) -> None:
        challenge = "Bearer" if error is None else f'Bearer error="{error}"'
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(ApiError):
    """A good key, but not for this."""

    status, code, title = 403, "forbidden", "Forbidden"
    explanation = "This needs a key with the scope admin."


class NotFound(ApiError):
    """Nothing has this URL."""

    status, code, title = 404, "not_found", "Not found"
    explanation = "Nothing has this URL; /docs lists what there is."


class JobNotFound(NotFound):
    """Never seen, or forgotten long ago."""

    code, title = "job_not_found", "Job not found"
    explanation = "There is no job of this id."


class ImageNotFound(NotFound):
    """Not finished yet, or not one of the job's."""

    code, title = "image_not_found", "Image not found"
    explanation = "The job has no finished image of this index."


class ModelNotFound(NotFound):
    """No worker has ever published it."""

    code, title = "model_not_found", "Model not found"
    explanation = "No worker has published a model of this name."


class DeliveryNotFound(NotFound):
    """No webhook, or not yet, or its days are over."""

    code, title = "delivery_not_found", "Delivery not found"
    explanation = "There is no webhook delivery of this id, or none of this job yet."


class MethodNotAllowed(ApiError):
    """Right URL, wrong verb."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    explanation = "This URL does not know this method; Allow lists those it does."


class BodyTimeout(ApiError):
    """The rest of the body did not come."""

    status, code, title = 408, "request_timeout", "Request timeout"
    explanation = "The body took too long to arrive."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Connection": "close"})


class Expired(ApiError):
    """Was here; its time to live is over."""

    status, code, title = 410, "expired", "Expired"
    explanation = "The job's results were kept for its ttl_s and are gone."


class BodyTooLarge(ApiError):
    """Refused while it arrives, before it is parsed."""

    status, code, title = 413, "body_too_large", "Body too large"
    explanation = "A request body may have 8 MiB at most."


class UnsupportedMediaType(ApiError):
    """A body that does not claim to be JSON."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"
    explanation = "Send the body with Content-Type: application/json."


class RangeNotSatisfiable(ApiError):
    """A range of bytes that begins where the file has ended."""

    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"
    explanation = "The file has no byte of this range; Content-Range says how many it has."


class InvalidRequest(ApiError):
    """JSON, but not a job; says where and why."""

    status, code, title = 422, "invalid_request", "Invalid request"
    explanation = "The request is refused; `errors` says which fields, and why."
    example: ClassVar[FieldError] = FieldError(
        pointer="/sampler/steps", detail="The model has T = 1000 steps."
    )

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.pointer or 'body'}: {e.detail}" for e in errors[:3]))
        self.errors = tuple(errors)


class InvalidImage(InvalidRequest):
    """A request whose fields are fine, and an image in it that is not."""

    code, title = "invalid_image", "Invalid image"
    explanation = "An image is refused; `errors` says which, and why."


class IdempotencyKeyReused(InvalidRequest):
    """A name that already stands for another submission."""

    code, title = "idempotency_key_reused", "Idempotency key reused"
    explanation = "The Idempotency-Key was sent with another body in the last 24 hours."
    example = FieldError(pointer="", detail=explanation)

    def __init__(self, errors: Sequence[FieldError] = (example,)) -> None:
        super().__init__(errors)


class Internal(ApiError):
    """A fault of ours: an id to quote, nothing else."""

    status, code, title = 500, "internal", "Internal error"
    explanation = "A fault of this service; quote its request id."
