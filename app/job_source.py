"""What a feed reads of its job: short reads, each for all listeners, in threads."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from app.images import ImageService
from app.jobs import JobService
from app.resources.jobs import Image, Preview
from app.views import preview_url
from protocol.event_log import EventLog, JobEvent, StreamId


@dataclass(frozen=True, slots=True)
class Sight:
    """The job as it was seen, at a place in the stream: at least all that was told up to there."""

    json: str
    at: StreamId
    done_event: StreamId | None  # None: it is not done

    @property
    def ended(self) -> bool:
        """Whether it is done, and all that led to it was told."""
        return self.done_event is not None and self.done_event <= self.at


@dataclass(frozen=True, slots=True)
class JobSource:
    """One job, for a tenant that may see it."""

    job_id: str
    jobs: JobService
    images: ImageService
    log: EventLog

    def done_event(self) -> StreamId | None:
        """Where its end was told, if it was. Raises JobNotFound, Expired."""
        return self.jobs.done_event(self.job_id)

    async def sight(self, at: StreamId) -> Sight:
        """Raises JobNotFound, Expired."""
        return await run_in_threadpool(self._sight, at)

    def _sight(self, at: StreamId) -> Sight:
        job, done_event = self.jobs.look(self.job_id)
        ended_at = done_event or at if job.done else None
        return Sight(job.model_dump_json(), at, ended_at)

    async def images_of(self, events: Iterable[JobEvent]) -> list[tuple[StreamId, Image]]:
        """The images that the events tell of, with the places at which they do."""
        places = {event.index: event.id for event in events if event.index is not None}
        if not places:
            return []
        found = await run_in_threadpool(self.jobs.finished, self.job_id, places)
        return [(places[image.index], image) for image in found]

    async def missed(self, since: StreamId, until: StreamId) -> list[tuple[StreamId, Image]] | None:
        """Images finished after `since`, up to `until`; None where that cannot be told."""
        events = await run_in_threadpool(self.log.missed, self.job_id, since=since, until=until)
        return None if events is None else await self.images_of(events)

    async def preview(self) -> Preview | None:
        """What the first unfinished images look like by now; asking makes workers draw it."""
        png = await run_in_threadpool(self.images.glimpse, self.job_id)
        if png is None:
            return None
        return Preview(png=base64.b64encode(png).decode(), url=preview_url(self.job_id))
