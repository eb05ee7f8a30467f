"""One client that listens to a job: what is on its way to it."""

import asyncio

from app.sse import KEEP_ALIVE
from protocol.event_log import StreamId

KEEP_ALIVE_S = 15.0  # proxies give up on a connection that is silent for a minute
MOST_BEHIND = 16  # chunks, some 8 s of them; who is further behind must come back


class Listener:
    """Filled by a feed, emptied by the response. `since` is what the client has heard already."""

    def __init__(self, *, since: StreamId | None, wants_previews: bool) -> None:
        self.since = since
        self.wants_previews = wants_previews
        self.is_new = True
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, chunk: bytes) -> None:
        """Send this next. A client that does not keep up is let go: it resumes where it was."""
        if self._chunks.qsize() >= MOST_BEHIND:
            while not self._chunks.empty():
                self._chunks.get_nowait()
            self.close()
        elif chunk:
            self._chunks.put_nowait(chunk)

    def close(self) -> None:
        """End after what was put."""
        self._chunks.put_nowait(None)

    async def next(self) -> bytes | None:
        """What is to be sent, a comment where there was nothing for a while; None: the end."""
        try:
            return await asyncio.wait_for(self._chunks.get(), KEEP_ALIVE_S)
        except TimeoutError:
            return KEEP_ALIVE
