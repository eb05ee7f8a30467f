"""What every request passes on its way in. Outermost first: RequestId, BodyLimit."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge

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
    """Refuses a body over the limit as it arrives, whatever Content-Length says or omits.

    Not Starlette's own: that one answers in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = _Limited(receive, Headers(scope=scope))
        await self.app(scope, receive, send)


class _Limited:
    """A `receive` that counts. Raises BodyTooLarge where the handler reads past the limit."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._received = 0
        declared = headers.get("content-length", "")
        self._declared = int(declared) if declared.isdecimal() else 0
        self._holds_back = "expect" in headers  # waits for our 100 before it sends the body

    async def __call__(self) -> Message:
        if self._declared > MAX_BODY_BYTES:
            if not self._holds_back:
                await self._linger()
            raise BodyTooLarge
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > MAX_BODY_BYTES:
            await self._linger()
            raise BodyTooLarge
        return message

    async def _linger(self) -> None:
        """A socket closed with unread data is reset, and the answer in it lost."""
        dropped, more = 0, True
        while more and dropped < LINGER_BYTES:
            message = await self._receive()
            dropped += len(message.get("body", b""))
            more = message.get("more_body", False)
