"""/v1/jobs/{job_id}/images and /grid.png: the pictures themselves."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from app.deps import ImageIndex, Images, JobId
from app.errors import Expired, ImageNotFound, InvalidRequest, JobNotFound, RedisUnavailable
from app.openapi import documented

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["images"])
IMMUTABLE = "private, max-age=31536000, immutable"
MAX_COLUMNS = 100


class PngResponse(Response):
    """So that the OpenAPI document says image/png."""

    media_type = "image/png"


IfNoneMatch = Annotated[str, Header(description="Answers 304 if the image has one of these ETags.")]
Columns = Annotated[
    int | None, Query(ge=1, le=MAX_COLUMNS, description="Default: as square as can be.")
]


@router.get(
    "/images/{index}.png",
    summary="Fetch an image",
    response_class=PngResponse,
    response_description="It never changes. Its text chunks say how to make it again.",
    responses={
        200: {"headers": {"ETag": {"schema": {"type": "string"}}}},
        304: {"description": "The client has it already."},
        **documented(JobNotFound, ImageNotFound, Expired, InvalidRequest, RedisUnavailable),
    },
)
def image(
    job_id: JobId, index: ImageIndex, images: Images, if_none_match: IfNoneMatch = ""
) -> PngResponse:
    """There as soon as the job lists it, while the job may still be running."""
    etag = f'"{images.manifest(job_id, index).pixels_sha256}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE}
    if _matches(if_none_match, etag):
        return PngResponse(status_code=304, headers=headers)
    return PngResponse(images.png(job_id, index), headers=headers)


@router.get(
    "/grid.png",
    summary="Fetch a contact sheet",
    response_class=PngResponse,
    response_description="The finished images so far, by index; the first 1,000 at most.",
    responses=documented(JobNotFound, ImageNotFound, Expired, InvalidRequest, RedisUnavailable),
)
def grid(job_id: JobId, images: Images, columns: Columns = None) -> PngResponse:
    """One picture of what is there; fewer tiles where they are large."""
    sheet = images.grid(job_id, columns=columns)
    return PngResponse(sheet, headers={"Cache-Control": "no-cache"})


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
