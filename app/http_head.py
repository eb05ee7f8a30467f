"""Uvicorn's HTTP/1.1, but a request's head is bounded before there is a request to refuse."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 2**10  # request line and headers
HEAD_TIMEOUT_S = 15.0  # from its first byte
TOO_LARGE = json.dumps(
    {
        "type": "urn:denoised:problem:headers_too_large",
        "title": "Headers too large",
        "status": 431,
        "detail": "The request line and the headers may have 64 KiB at most.",
        "code": "headers_too_large",
    }
).encode()
ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/problem+json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(TOO_LARGE), TOO_LARGE)
)


class HeadTooLarge(Exception):
    """Ends the parsing."""


class BoundedHead(HttpToolsProtocol):
    """Answers 431 to a head that is too large, hangs up on one that is too slow."""

    _pending = True  # a head, or a part of it, is yet to come
    _parsed_bytes = 0  # of the head under way, as handed over by the parser
    _unparsed_bytes = 0  # received since the head began: the parser keeps what has no end
    _timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """No time runs any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a head, or of a body."""
        if self._pending:
            self._unparsed_bytes += len(data)
            if self._timer is None:
                self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._hang_up)
        super().data_received(data)
        if self._pending and self._unparsed_bytes > 2 * MAX_HEAD_BYTES:
            self._refuse()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there, in time."""
        self._stop_timer()
        self._pending, self._parsed_bytes, self._unparsed_bytes = False, 0, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next head may come."""
        self._pending = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser gave up: by itself, or because we told it to."""
        if self._parsed_bytes > MAX_HEAD_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge

    def _refuse(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(ANSWER)
            self.transport.close()

    def _hang_up(self) -> None:
        self._timer = None
        if self.transport is not None:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
