"""Every answer that is an error, as RFC 9457 application/problem+json: one handler, one shape."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match

from app.errors import (
    ApiError,
    BodyTooLarge,
    DeliveryNotFound,
    FieldError,
    ImageNotFound,
    Internal,
    InvalidRequest,
    JobNotFound,
    MalformedJson,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
)
from app.shortages import RedisUnavailable, StorageFull
from protocol.trouble import Trouble, trouble_of

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
MAX_ERRORS = 20  # of a request with more mistakes than that, these are enough

HANDLED = (
    HTTPException,
    RequestValidationError,
    ConnectionError,
    TimeoutError,
    ResponseError,
    Exception,
)
OF_STATUS: dict[int, type[ApiError]] = {
    400: MalformedJson,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}
OF_PATH_PARAMETER: dict[str, type[ApiError]] = {
    "job_id": JobNotFound,
    "index": ImageNotFound,
    "name": ModelNotFound,
    "delivery_id": DeliveryNotFound,
}
WORDS = {
    "extra_forbidden": "There is no such field.",
    "missing": "This is required.",
    "model_attributes_type": "This must be a JSON object.",
    "model_type": "This must be a JSON object.",
}


class Problem(BaseModel):
    """RFC 9457, with a stable `code` to branch on; never parse `detail`."""

    type: str = Field(examples=["urn:denoised:problem:invalid_request"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["/sampler/steps: the model has T = 1000 steps"])
    instance: str = Field(description="The path that was asked for.", examples=["/v1/jobs"])
    code: str = Field(examples=["invalid_request"])
    errors: list[FieldError] | None = Field(None, description="With status 422: what, and where.")


def install(app: FastAPI) -> None:
    """Give every exception that can reach the edge the one handler."""
    for kind in HANDLED:
        app.add_exception_handler(kind, answer)


async def answer(request: Request, exc: Exception) -> JSONResponse:
    """The one handler."""
    error = as_api_error(exc)
    request_id = request.scope["state"]["request_id"]
    if isinstance(error, MethodNotAllowed):
        error = MethodNotAllowed(headers={"Allow": _allowed(request)})
    if isinstance(error, Internal):
        untold = exc if isinstance(exc, ResponseError) else None  # the server tells the rest
        crash = "request %s crashed: %s %s"
        log.error(crash, request_id, request.method, request.url.path, exc_info=untold)
        error = Internal(f"A fault of this service; quote request {request_id}.")
    body = problem_of(error, instance=quote(request.scope["path"])).model_dump(exclude_none=True)
    # Set here too: what answers a crash stands outside of the middleware that does it otherwise.
    headers = {**(error.headers or {}), "X-Request-Id": request_id}
    return JSONResponse(body, error.status, headers, media_type=MEDIA_TYPE)


def problem_of(error: ApiError, *, instance: str) -> Problem:
    """The document that says so."""
    return Problem(
        type=type_of(error.code),
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        code=error.code,
        errors=list(error.errors) if isinstance(error, InvalidRequest) else None,
    )


def type_of(code: str) -> str:
    """A problem's type: a name, not a page."""
    return f"urn:denoised:problem:{code}"


def as_api_error(exc: Exception) -> ApiError:
    """Translate what others raise."""
    match exc:
        case ApiError():
            return exc
        case HTTPException():
            return OF_STATUS.get(exc.status_code, Internal)(headers=exc.headers)
        case RequestValidationError():
            return _of_validation(exc.errors())
        case RedisError():
            return _of_redis(exc)
    return Internal()


def _of_redis(error: RedisError) -> ApiError:
    match trouble_of(error):
        case Trouble.AWAY:
            return RedisUnavailable()
        case Trouble.FULL:
            return StorageFull()
        case Trouble.NO_DISK:
            return StorageFull("Redis cannot write to its disk.")
    return Internal()


def _allowed(request: Request) -> str:
    """All methods of this path; of routes that share one, Starlette names the first one's alone."""
    routes: list[BaseRoute] = request.app.routes
    return ", ".join(
        method
        for method in METHODS
        if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in routes)
    )


def _of_validation(errors: Sequence[dict[str, Any]]) -> ApiError:
    """A path that fits no id is a 404, a body that is not JSON a 400, the rest a 422."""
    first = errors[0]
    source, *rest = first["loc"]
    if source == "path":
        return OF_PATH_PARAMETER[rest[0]]()
    if first["type"] == "json_invalid":
        return MalformedJson(f"The body is not JSON: {first['ctx']['error']} at {rest[0]}.")
    return InvalidRequest([field_error(error, error["loc"][1:]) for error in errors[:MAX_ERRORS]])


def field_error(error: Mapping[str, Any], path: Iterable[str | int]) -> FieldError:
    """What pydantic says of the field at this path."""
    names = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return FieldError(
        pointer="".join(f"/{name}" for name in names),
        detail=WORDS.get(error["type"], f"{error['msg']}."),
    )
