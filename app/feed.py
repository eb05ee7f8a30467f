"""What happens to a job, as events: read and written down once for all who listen to it."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from redis.exceptions import RedisError

from app.errors import ApiError
from app.events import JobEvents
from app.job_source import JobSource, Sight
from app.listener import Listener
from app.resources.jobs import Image, Preview
from app.sse import written
from protocol.event_log import JobEvent, StreamId

log = logging.getLogger(__name__)
SHORTEST_GAP_S = 0.5  # at most two looks a second
LONGEST_GAP_S = 1.0  # workers say how far they are about once a second; no event tells that
PROGRESS_BYTES_PER_S = 2**17  # a job with a thousand images to list is told of less often


class JobFeed:
    """Looks at one job while anybody listens. All on one event loop.

    Everything is read before anything is told, and told without a pause: whoever comes gets the
    job as of one place in the stream, and then all that happens after it.
    """

    def __init__(self, source: JobSource, events: JobEvents) -> None:
        self.source, self._events = source, events
        self._listeners: set[Listener] = set()
        self._heard: list[JobEvent] = []
        self._news, self._urgent = asyncio.Event(), asyncio.Event()
        self._told, self._due_s = "", 0.0
        self._preview: Preview | None = None

    def join(self, listener: Listener) -> None:
        """Tell it too, from now on."""
        self._listeners.add(listener)
        self._wake(urgent=True)

    def leave(self, listener: Listener) -> None:
        """Tell it no more; after what it was told already it ends."""
        self._listeners.discard(listener)
        listener.close()
        self._wake(urgent=True)

    def let_all_go(self) -> None:
        """End every stream; clients come back by themselves."""
        for listener in tuple(self._listeners):
            self.leave(listener)

    async def run(self) -> None:
        """Until nobody listens any more, because all have left or have heard the end."""
        with self._events.hearing(self.source.job_id, self._hear):
            await self._events.connected.wait()
            while self._listeners:
                try:
                    await self._look()
                except ApiError as error:  # deleted, or its record has expired
                    log.info("nothing more to tell of %s: %s", self.source.job_id, error.detail)
                    self.let_all_go()
                except (RedisError, OSError) as error:
                    log.info("%s is out of sight: %s", self.source.job_id, error)
                await self._pause()

    async def _look(self) -> None:
        at, heard = self._events.position, tuple(self._heard)
        listeners = tuple(self._listeners)
        images = _written(await self.source.images_of(heard))
        sight = await self.source.sight(at) if self._must_see(heard) else None
        welcomes = {
            listener: await self._welcome(listener, sight)
            for listener in listeners
            if listener.is_new and sight is not None
        }
        preview = b"" if sight is not None and sight.ended else await self._new_preview()
        news = images + self._news_in(sight)
        del self._heard[: len(heard)]
        for listener in listeners:
            listener.put(welcomes.get(listener, news))
            if listener.wants_previews:
                listener.put(preview)
            listener.is_new = False
            if sight is not None and sight.ended:
                self.leave(listener)

    def _must_see(self, heard: tuple[JobEvent, ...]) -> bool:
        """Whether to read the job itself: it may be long."""
        return (
            any(listener.is_new for listener in self._listeners)
            or any(event.kind != "image" for event in heard)
            or asyncio.get_running_loop().time() >= self._due_s
        )

    async def _welcome(self, listener: Listener, sight: Sight) -> bytes:
        """The whole job; or, to one that was here before, what it has missed."""
        since = listener.since
        missed = None if since is None else await self.source.missed(since, sight.at)
        if missed is None:
            snapshot = written("snapshot", sight.json, sight.at)
            return snapshot + _done(sight) if sight.ended else snapshot
        return _written(missed) + (_done(sight) if sight.ended else _progress(sight))

    def _news_in(self, sight: Sight | None) -> bytes:
        """The end; or how far it is, where that is new and the last word is long enough ago."""
        if sight is not None and sight.ended:
            return _done(sight)
        now_s = asyncio.get_running_loop().time()
        if sight is None or now_s < self._due_s:
            return b""
        is_new, self._told = sight.json != self._told, sight.json
        self._due_s = now_s + max(SHORTEST_GAP_S, len(sight.json) / PROGRESS_BYTES_PER_S)
        return _progress(sight) if is_new else b""

    async def _new_preview(self) -> bytes:
        """If anybody wants to see it, and it has changed or somebody is new."""
        who = [listener for listener in self._listeners if listener.wants_previews]
        preview = await self.source.preview() if who else None
        if preview is None or (preview == self._preview and not any(one.is_new for one in who)):
            return b""
        self._preview = preview
        return written("preview", preview.model_dump_json())

    async def _pause(self) -> None:
        """Not long where there is news; at once where somebody comes or goes, or the job ends."""
        for signal, longest_s in (
            (self._urgent, SHORTEST_GAP_S),
            (self._news, LONGEST_GAP_S - SHORTEST_GAP_S),
        ):
            with suppress(TimeoutError):
                await asyncio.wait_for(signal.wait(), longest_s)
        self._urgent.clear()
        self._news.clear()

    def _hear(self, event: JobEvent | None) -> None:
        if event is None:
            self.let_all_go()
            return
        self._heard.append(event)
        self._wake(urgent=event.kind == "done")

    def _wake(self, *, urgent: bool) -> None:
        self._news.set()
        if urgent:
            self._urgent.set()


def _written(placed: Iterable[tuple[StreamId, Image]]) -> bytes:
    return b"".join(written("image", image.model_dump_json(), at) for at, image in placed)


def _progress(sight: Sight) -> bytes:
    return written("progress", sight.json, sight.at)


def _done(sight: Sight) -> bytes:
    return written("done", sight.json, sight.done_event)
