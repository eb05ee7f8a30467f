"""Finished images, alone and as a contact sheet."""

import time

from redis import Redis

from app.errors import Expired, ImageNotFound
from app.grid import contact_sheet, fitting
from app.jobs import find
from app.views import listed, status_of
from protocol.image_store import RedisImageStore
from protocol.job_store import JobRecord, JobStore
from protocol.messages import ImageManifest
from protocol.states import JobState


class ImageService:
    """Reads what workers have stored. An image is there once its manifest is."""

    def __init__(self, redis: Redis) -> None:
        self._store = JobStore(redis)
        self._images = RedisImageStore(redis)

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
        record = find(self._store, job_id)
        if status_of(record, now=time.time()) is JobState.EXPIRED:
            raise Expired("The job's images were kept for its ttl_s and are gone.")
        return record
