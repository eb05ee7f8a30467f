"""/v1/jobs/{job_id}/images, /grid.png and /preview.png: the pictures themselves."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app import etags
from app.deps import ImageIndex, Images, JobId
from app.errors import Expired, ImageNotFound, InvalidRequest, JobNotFound, RedisUnavailable
from app.etags import IfNoneMatch
from app.openapi import documented

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["images"])
IMMUTABLE = "private, max-age=31536000, immutable"
MAX_COLUMNS = 100


class PngResponse(Response):
    """So that the OpenAPI document says image/png."""

    media_type = "image/png"


Columns = Annotated[
    int | None, Query(ge=1, le=MAX_COLUMNS, description="Default: as square as can be.")
]


@router.get(
    "/images/{index}.png",
    summary="Fetch an image",
    response_class=PngResponse,
    response_description="It never changes. Its text chunks say how to make it again.",
    responses={
        200: {"headers": etags.HEADER},
        304: etags.NOT_MODIFIED,
        **documented(JobNotFound, ImageNotFound, Expired, InvalidRequest, RedisUnavailable),
    },
)
def image(
    job_id: JobId, index: ImageIndex, images: Images, if_none_match: IfNoneMatch = ""
) -> PngResponse:
    """There as soon as the job lists it, while the job may still be running."""
    etag = etags.strong(images.manifest(job_id, index).pixels_sha256)
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE}
    if etags.matches(if_none_match, etag):
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


@router.get(
    "/preview.png",
    summary="Look at what is not finished yet",
    response_class=PngResponse,
    response_description="The denoised guess (x0_hat) of the first unfinished images, 16 at most.",
    responses=documented(JobNotFound, ImageNotFound, Expired, InvalidRequest, RedisUnavailable),
)
def preview(job_id: JobId, images: Images) -> PngResponse:
    """Renewed about once a second while somebody asks; 404 before the first, and after the last."""
    return PngResponse(images.preview(job_id), headers={"Cache-Control": "no-store"})
