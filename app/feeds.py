"""The feeds of all jobs that anybody listens to."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from app.ending import ended
from app.events import JobEvents
from app.feed import JobFeed
from app.job_source import JobSource
from app.listener import Listener
from app.sse import HELLO


class Feeds:
    """One feed a job, begun with its first listener and gone with its last."""

    def __init__(self, events: JobEvents) -> None:
        self._events = events
        self._feeds: dict[str, JobFeed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stream(self, source: JobSource, listener: Listener) -> AsyncGenerator[bytes, None]:
        """What is sent to a client, until its job is done or the process leaves."""
        yield HELLO
        if self._events.released:
            return
        with self._listening(source, listener):
            while (chunk := await listener.next()) is not None:
                yield chunk

    async def close(self) -> None:
        """End what is left of them."""
        await ended(*self._tasks)

    @contextmanager
    def _listening(self, source: JobSource, listener: Listener) -> Iterator[None]:
        feed = self._feeds.get(source.job_id) or self._start(source)
        feed.join(listener)
        try:
            yield
        finally:
            feed.leave(listener)

    def _start(self, source: JobSource) -> JobFeed:
        feed = self._feeds[source.job_id] = JobFeed(source, self._events)
        task = asyncio.create_task(self._run(feed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return feed

    async def _run(self, feed: JobFeed) -> None:
        try:
            await feed.run()
        finally:
            del self._feeds[feed.source.job_id]
            feed.let_all_go()
