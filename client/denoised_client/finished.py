"""A job's finished images, by index, each as soon as it and those before it are finished.

Rows of a job begin by index and mostly end so too: waiting for the order costs little, and whoever
zips images with labels or lambdas gets the right ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from denoised_client import calls
from denoised_client.effects import Flow
from denoised_client.following import Follower
from denoised_client.resources import ImageEntry, ImagePage
from denoised_client.service import Service

Entries = Sequence[ImageEntry]


@dataclass(slots=True)
class Finished:
    """Batch by batch. While the job runs these are the images it lists, its first 1,000; once it is
    done, all there are, gaps or not."""

    service: Service
    follower: Follower
    next_index: int = field(init=False)
    _listed_all: bool = False
    _page_token: str | None = None

    def __post_init__(self) -> None:
        self.next_index = int(self.follower.job.request.get("first_index") or 0)

    def next(self) -> Flow[Entries]:
        """At least one; none when there are no more to come."""
        if not self.follower.job.lists_its_images:
            yield from self.follower.refresh()
        while True:
            job = self.follower.job
            if job.done and job.images_truncated:
                return self._advance((yield from self._next_page()))
            if batch := self._advance(self._ready()):
                return batch
            if job.done:
                return ()
            yield from self.follower.next()

    def _ready(self) -> Entries:
        """What the job lists from `next_index` on; up to the first gap, while it may be filled."""
        job = self.follower.job
        listed = [entry for entry in job.images if entry.index >= self.next_index]
        if job.done:
            return listed
        whole = (entry for at, entry in enumerate(listed, self.next_index) if entry.index == at)
        return list(whole)

    def _advance(self, batch: Entries) -> Entries:
        if batch:
            self.next_index = batch[-1].index + 1
        return batch

    def _next_page(self) -> Flow[Entries]:
        """Raises UnexpectedAnswer where the service lists no pages."""
        while not self._listed_all:
            token = {} if self._page_token is None else {"page_token": self._page_token}
            call = calls.get(self.follower.job.urls.images, page_size=calls.PAGE_SIZE, **token)
            page = yield from self.service.read(call, ImagePage)
            self._page_token = page.next_page_token
            self._listed_all = page.next_page_token is None
            if fresh := [entry for entry in page.data if entry.index >= self.next_index]:
                return fresh
        return ()
