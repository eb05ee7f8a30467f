"""/v1/verify: does an image that was made here come out as it is once more?"""

import hashlib
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app import answers
from app.answers import ACCEPTED, DONE_IN_TIME
from app.deps import Events, Jobs, Prefer, Submissions, is_json, media_type
from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    FieldError,
    IdempotencyKeyReused,
    InvalidImage,
    InvalidRequest,
    JobNotFound,
    MalformedJson,
    MalformedKey,
    UnsupportedMediaType,
)
from app.idempotency import Key, Named
from app.openapi import documented
from app.png_input import NotThisImage, from_base64
from app.problems import field_error
from app.resources.jobs import Job
from app.schemas import ImageToVerify
from app.shortages import (
    NoWorker,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    RedisUnavailable,
    StorageFull,
)

router = APIRouter(prefix="/v1/verify", tags=["verify"])
BODY = {
    "required": True,
    "content": {
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": ImageToVerify.model_json_schema()},
    },
}


async def _png(request: Request) -> bytes:
    """The body, whichever way it was sent."""
    body, kind = await request.body(), media_type(request)
    if kind == "image/png":
        return body
    if is_json(kind):
        return _png_in(body)
    raise UnsupportedMediaType("Send a PNG as image/png, or in base64 as application/json.")


def _png_in(body: bytes) -> bytes:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:  # also of a number with too many digits
        raise MalformedJson from error
    try:
        return from_base64(ImageToVerify.model_validate(asked).image)
    except ValidationError as error:
        raise InvalidRequest([field_error(e, e["loc"]) for e in error.errors()]) from error
    except NotThisImage as error:
        raise InvalidImage([FieldError(pointer="/image", detail=str(error))]) from error


async def _named(png: Annotated[bytes, Depends(_png)], key: Key) -> Named | None:
    """By the file, in whichever form it was sent."""
    return None if key is None else Named(key, {"verify": hashlib.sha256(png).hexdigest()})


@router.post(
    "",
    status_code=202,
    summary="Verify an image",
    openapi_extra={"requestBody": BODY},
    response_description="A job that makes the image again; `verification` will tell.",
    responses={
        202: ACCEPTED,
        200: DONE_IN_TIME,
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
async def verify(
    png: Annotated[bytes, Depends(_png)],
    response: Response,
    submissions: Submissions,
    jobs: Jobs,
    events: Events,
    prefer: Prefer,
    named: Annotated[Named | None, Depends(_named)],
) -> Job:
    """Sampled once more from what its text chunk `denoised` tells, and compared."""
    accepted = await run_in_threadpool(submissions.verify, png, strict=prefer.strict, named=named)
    return await answers.accepted(accepted, response, jobs, events, prefer)
