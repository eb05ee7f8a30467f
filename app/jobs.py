"""What can be done with jobs that are there. Sync: handlers call it from a thread."""

import copy
import time
from collections.abc import Iterable
from typing import Self

from redis import Redis

from app.job_filters import JobFilters
from app.job_pages import JobPages
from app.records import find
from app.resources.jobs import Image, Job, JobPage
from app.verify import Verifier
from app.views import Findings, image_view, job_view, listed, status_of
from protocol.event_log import StreamId
from protocol.job_record import DEFAULT_TENANT, JobRecord
from protocol.job_removal import remove
from protocol.job_store import JobStore
from protocol.states import JobState


class JobService:
    """Read, list, cancel, delete, as a tenant may."""

    tenant = DEFAULT_TENANT

    def __init__(self, redis: Redis) -> None:
        self._store = JobStore(redis)
        self._pages = JobPages(redis)
        self._verifier = Verifier(redis)

    def of(self, tenant: str) -> Self:
        """The same for another tenant, who sees jobs of its own alone."""
        theirs = copy.copy(self)
        theirs.tenant = tenant
        return theirs

    def page(self, wanted: JobFilters, *, size: int, token: str | None) -> JobPage:
        """The tenant's jobs, newest first. Raises InvalidRequest for a token of another list."""
        return self._pages.page(self.tenant, wanted, size=size, token=token)

    def get(self, job_id: str) -> Job:
        """The job as it stands. Raises JobNotFound, Expired."""
        return self._view(self._record(job_id))

    def look(self, job_id: str) -> tuple[Job, StreamId | None]:
        """The job, and where its end was told, if it was. Raises like `get`."""
        record = self._record(job_id)
        return self._view(record), record.done_event

    def done_event(self, job_id: str) -> StreamId | None:
        """Where the job's end was told. Raises like `get`."""
        return self._record(job_id).done_event

    def finished(self, job_id: str, indices: Iterable[int]) -> list[Image]:
        """Those of the images that are, of a job that is known to be the tenant's."""
        found = self._store.manifests(job_id, indices)
        return [image_view(job_id, manifest) for manifest in found.values()]

    def is_done(self, job_id: str) -> bool:
        """Whether nothing more will happen to it; cheaper than `get`."""
        return self._record(job_id).status.done

    def cancel(self, job_id: str) -> tuple[Job, bool]:
        """The job afterwards, and whether there was anything to cancel. Raises like `get`."""
        self._record(job_id)
        before = self._store.cancel(job_id)
        return self.get(job_id), before is not None and not before.done

    def delete(self, job_id: str) -> None:
        """Nothing is left of it: no image, no record, no memory. Raises like `get`."""
        remove(self._store, self._record(job_id))

    def _record(self, job_id: str) -> JobRecord:
        return find(self._store, job_id, tenant=self.tenant)

    def _view(self, record: JobRecord) -> Job:
        now = time.time()
        return job_view(record, self._findings(record, now=now), now=now)

    def _findings(self, record: JobRecord, *, now: float) -> Findings:
        """One more round trip for each thing that this state can have."""
        store, status = self._store, status_of(record, now=now)
        under_way = status in (JobState.RUNNING, JobState.CANCELING)
        has_images = record.images_done > 0 and status is not JobState.EXPIRED
        manifests = store.manifests(record.id, listed(record)) if has_images else {}
        return Findings(
            manifests=manifests,
            steps_in_flight=store.steps_in_flight(record.id) if under_way else 0,
            queue_position=store.queue_position(record.id, record.request.model)
            if status is JobState.QUEUED
            else None,
            verification=self._verifier.read(record, manifests),
        )
