"""Server-sent events on the wire (WHATWG HTML, 9.2), as bytes that many listeners may share.

FastAPI's own encoder. Not its generator routes: those write every event anew for every listener,
and have answered 200 before a job can be found missing.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Send

from protocol.event_log import StreamId

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RETRY_MS = 1000
HELLO = format_sse_event(retry=RETRY_MS)
KEEP_ALIVE = format_sse_event(comment="still here")


def written(name: str, json: str, at: StreamId | None = None) -> bytes:
    """An event. `at` is where a client that heard it goes on; None: where it would have anyway."""
    return format_sse_event(event=name, data_str=json, id=None if at is None else str(at))


class EventStream(StreamingResponse):
    """Never cached, nor held back by a proxy; what feeds it is closed also where the client has
    gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=HEADERS)
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """As Starlette does."""
        async with aclosing(self._events):
            await super().stream_response(send)
