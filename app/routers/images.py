"""/v1/jobs/{job_id}/images, /archive.zip, /grid.png and /preview.png: the pictures themselves."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from app import etags
from app.deps import IfCurrent, ImageIndex, Images, JobId, PageToken
from app.errors import Expired, ImageNotFound, InvalidRequest, JobNotFound, RangeNotSatisfiable
from app.openapi import documented
from app.ranges import cut
from app.resources.jobs import ImagePage
from app.shortages import RedisUnavailable
from app.views import image_view
from protocol.messages import MAX_INDEX

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["images"])
IMMUTABLE = "private, max-age=31536000, immutable"
MAX_COLUMNS = 100
MAX_PAGE, DEFAULT_PAGE = 1000, 100


def _part(media_type: str) -> dict[str, Any]:
    """For the document."""
    headers = {**etags.HEADER, "Content-Range": {"schema": {"type": "string"}}}
    description = "`Range`: a part of it."
    return {"description": description, "headers": headers, "content": {media_type: {}}}


def _of_a_file(media_type: str) -> dict[int | str, dict[str, Any]]:
    """What a file that can be had in parts is answered with."""
    return {
        200: {"headers": etags.HEADER},
        206: _part(media_type),
        304: etags.NOT_MODIFIED,
        **documented(
            JobNotFound,
            ImageNotFound,
            Expired,
            RangeNotSatisfiable,
            InvalidRequest,
            RedisUnavailable,
        ),
    }


class PngResponse(Response):
    """So that the OpenAPI document says image/png."""

    media_type = "image/png"


Columns = Annotated[
    int | None, Query(ge=1, le=MAX_COLUMNS, description="Default: as square as can be.")
]


class ZipResponse(StreamingResponse):
    """So that the OpenAPI document says application/zip."""

    media_type = "application/zip"


@router.get(
    "/images",
    summary="List the finished images",
    response_description="By index. Where most are missing a page may be short, or empty, and "
    "still have a successor.",
    responses=documented(JobNotFound, Expired, InvalidRequest, RedisUnavailable),
)
def list_all(
    job_id: JobId,
    images: Images,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    page_token: PageToken = None,
) -> ImagePage:
    """All there are, of however many; also while the job is running."""
    found, next_token = images.page(job_id, size=page_size, token=page_token)
    views = [image_view(job_id, manifest) for manifest in found]
    return ImagePage(data=views, next_page_token=next_token)


@router.head("/images/{index}.png", include_in_schema=False)
@router.get(
    "/images/{index}.png",
    summary="Fetch an image",
    response_class=PngResponse,
    response_description="It never changes. Its text chunks say how to make it again.",
    responses=_of_a_file("image/png"),
)
def image(job_id: JobId, index: ImageIndex, images: Images, asked: IfCurrent) -> PngResponse:
    """There as soon as the job lists it, while the job may still be running."""
    manifest = images.manifest(job_id, index)
    part = asked.part(etag=etags.strong(manifest.pixels_sha256), size_bytes=manifest.bytes)
    headers = {**part.headers, "Cache-Control": IMMUTABLE}
    if part.status == 304:
        return PngResponse(status_code=304, headers=headers)
    png = images.png(job_id, index)[part.span.start : part.span.stop]
    return PngResponse(png, part.status, headers)


@router.head("/archive.zip", include_in_schema=False)
@router.get(
    "/archive.zip",
    summary="Fetch all images",
    response_class=ZipResponse,
    response_description="A ZIP file of `manifest.jsonl` and the images finished by now, stored.",
    responses=_of_a_file("application/zip"),
)
def archive(
    job_id: JobId,
    request: Request,
    images: Images,
    asked: IfCurrent,
    from_index: Annotated[
        int, Query(ge=0, le=MAX_INDEX, description="Only images of this index and above.")
    ] = 0,
) -> Response:
    """Of a finished job the same bytes each time. It is cut off, not shortened, if the images
    expire or are deleted while it is sent."""
    found = images.archive(job_id, from_index=from_index)
    part = asked.part(etag=found.etag, size_bytes=found.size_bytes)
    headers = {
        **part.headers,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{job_id}.zip"',
    }
    if part.status != 304:
        headers["Content-Length"] = str(len(part.span))
    if part.status == 304 or request.method == "HEAD":
        return Response(status_code=part.status, headers=headers, media_type=ZipResponse.media_type)
    return ZipResponse(cut(found.chunks(), part.span), part.status, headers)


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
