"""Every answer, as it went out: a line in the access log, and a count."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics

log = logging.getLogger("app.access")
PROBES = {"/livez", "/readyz"}  # who asks every few seconds would fill the log


class Observe:
    """Outside of all that can refuse a request, so that refusals are seen too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, sent = time.perf_counter(), _Sent(send)
        try:
            await self.app(scope, receive, sent)
        finally:
            self._note(scope, sent, time.perf_counter() - began)

    def _note(self, scope: Scope, sent: "_Sent", seconds: float) -> None:
        """The path without its query, where a client may have put what is nobody's business."""
        self._metrics.answered(scope["method"], _template(scope), sent.status, seconds)
        if scope["path"] in PROBES:
            return
        caller = scope["state"].get("caller")
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": sent.status,
            "duration_ms": round(1000 * seconds, 1),
            "bytes": sent.body_bytes,
            "request_id": scope["state"]["request_id"],
            "tenant": None if caller is None else caller.name,
        }
        log.info("%(method)s %(path)s %(status)d", fields, extra={"fields": fields})


class _Sent:
    """A `send` that remembers. Without an answer the request has crashed: 500."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status, self.body_bytes = 500, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.body_bytes += len(message.get("body", b""))
        await self._send(message)


def _template(scope: Scope) -> str:
    """As routes are written: one name for all jobs. Empty where no route was found."""
    return getattr(scope.get("route"), "path", "")
