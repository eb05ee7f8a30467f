"""Two of those that every request passes on its way in; `main._middleware` has all, in order."""

import asyncio
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, BodyTooLarge

MAX_BODY_BYTES = 8 * 2**20
LINGER_BYTES = 8 * 2**20  # read and dropped after a refusal, so that the client reads our answer
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestId:
    """Names every request, by the client's X-Request-Id if that is sane, and says so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked_for = Headers(scope=scope).get("x-request-id", "")
        request_id = asked_for if ACCEPTABLE_ID.fullmatch(asked_for) else f"req_{uuid4().hex}"
        scope["state"]["request_id"] = request_id

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        await self.app(scope, receive, send_named)


class BodyLimit:
    """Refuses a body over the limit as it arrives, whatever Content-Length says or omits, and one
    that is not there `timeout_s` after its head.

    Not Starlette's own: that one answers in plain text.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self.app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = _Limited(receive, Headers(scope=scope), self._timeout_s)
        await self.app(scope, receive, send)


class _Limited:
    """A `receive` that counts bytes and seconds.

    Raises BodyTooLarge, BodyTimeout where the handler reads past the limit.
    """

    def __init__(self, receive: Receive, headers: Headers, timeout_s: float) -> None:
        self._receive = receive
        self._deadline: float | None = asyncio.get_running_loop().time() + timeout_s
        self._received = 0
        declared = headers.get("content-length", "")
        self._declared = int(declared) if declared.isdecimal() else 0
        self._holds_back = "expect" in headers  # waits for our 100 before it sends the body

    async def __call__(self) -> Message:
        if self._declared > MAX_BODY_BYTES:
            if not self._holds_back:
                await self._linger()
            raise BodyTooLarge
        message = await self._in_time()
        self._received += len(message.get("body", b""))
        if self._received > MAX_BODY_BYTES:
            await self._linger()
            raise BodyTooLarge
        return message

    async def _in_time(self) -> Message:
        """The next part. Behind the last one only a hang-up is to come, at any time."""
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTimeout from error
        if not message.get("more_body", False):
            self._deadline = None
        return message

    async def _linger(self) -> None:
        """A socket closed with unread data is reset, and the answer in it lost."""
        dropped, more = 0, True
        while more and dropped < LINGER_BYTES:
            message = await self._receive()
            dropped += len(message.get("body", b""))
            more = message.get("more_body", False)
