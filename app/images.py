"""Finished images: alone, by the page, as an archive and as a contact sheet."""

import copy
from typing import Self

from redis import Redis

from app.archive import Archive
from app.errors import ImageNotFound
from app.grid import contact_sheet, fitting
from app.image_pages import page_of
from app.records import find_unexpired
from app.views import listed
from protocol.image_store import RedisImageStore
from protocol.job_record import DEFAULT_TENANT, JobRecord
from protocol.job_store import JobStore
from protocol.messages import ImageManifest
from protocol.preview_store import PreviewStore


class ImageService:
    """Reads what workers have stored for a tenant. An image is there once its manifest is."""

    tenant = DEFAULT_TENANT

    def __init__(self, redis: Redis) -> None:
        self._store = JobStore(redis)
        self._images = RedisImageStore(redis)
        self._previews = PreviewStore(redis)

    def of(self, tenant: str) -> Self:
        """The same for another tenant, who sees jobs of its own alone."""
        theirs = copy.copy(self)
        theirs.tenant = tenant
        return theirs

    def manifest(self, job_id: str, index: int) -> ImageManifest:
        """What is known of image `index`. Raises JobNotFound, Expired, ImageNotFound."""
        record = self._unexpired(job_id)
        first, n = record.request.first_index, record.request.n
        if not first <= index < first + n:
            raise ImageNotFound(f"The job's images are {first} to {first + n - 1}.")
        found = self._store.manifests(job_id, [index]).get(index)
        if found is None:
            raise ImageNotFound(f"Image {index} is not finished; the job is {record.status}.")
        return found

    def png(self, job_id: str, index: int) -> bytes:
        """The file of an image that has a manifest. Raises like `manifest`."""
        record = self._unexpired(job_id)
        png = self._images.get(job_id, index - record.request.first_index)
        if png is None:
            raise ImageNotFound(f"The file of image {index} is gone.")
        return png

    def page(
        self, job_id: str, *, size: int, token: str | None
    ) -> tuple[list[ImageManifest], str | None]:
        """See `page_of`. Raises JobNotFound, Expired, InvalidRequest."""
        return page_of(self._store, self._unexpired(job_id), size=size, token=token)

    def archive(self, job_id: str, *, from_index: int) -> Archive:
        """The images of index `from_index` and above that are finished now. Raises like
        `manifest`, ImageNotFound where there are none."""
        record = self._unexpired(job_id)
        archive = Archive(self._store, self._images, record, from_index=from_index)
        if not archive:
            detail = f"No image from {from_index} on is finished; the job is {record.status}."
            raise ImageNotFound(detail)
        return archive

    def with_scale(self, job_id: str, index: int) -> tuple[bytes, int]:
        """A finished image's file, and how often each of its pixels is repeated in it.

        Raises like `manifest`.
        """
        self.manifest(job_id, index)
        output = self._unexpired(job_id).request.output
        return self.png(job_id, index), output.scale

    def preview(self, job_id: str) -> bytes:
        """What the first unfinished images look like by now. Raises like `manifest`.

        Workers draw it while somebody asks.
        """
        record = self._unexpired(job_id)
        if record.status.done:
            raise ImageNotFound(f"Nothing is under way; the job is {record.status}.")
        preview = self.glimpse(job_id)
        if preview is None:
            detail = "There is no preview yet; ask again in a second."
            raise ImageNotFound(detail, headers={"Retry-After": "1"})
        return preview

    def glimpse(self, job_id: str) -> bytes | None:
        """The preview of a job that is known to be the tenant's, if there is one yet."""
        self._previews.watch(job_id)
        return self._previews.latest(job_id)

    def grid(self, job_id: str, *, columns: int | None) -> bytes:
        """A contact sheet of the finished images, by index. Raises like `manifest`."""
        record = self._unexpired(job_id)
        found = self._store.manifests(job_id, listed(record))
        if not found:
            raise ImageNotFound(f"No image is finished; the job is {record.status}.")
        shown = sorted(found)[: fitting(found[min(found)])]
        slots = [index - record.request.first_index for index in shown]
        pngs = [png for png in self._images.get_many(job_id, slots) if png is not None]
        if not pngs:
            raise ImageNotFound("The files of the images are gone.")
        return contact_sheet(pngs, columns=columns)

    def _unexpired(self, job_id: str) -> JobRecord:
        return find_unexpired(self._store, job_id, tenant=self.tenant)
