"""Requests with their retries, as flows. All raise ApiError, Unreachable and UnexpectedAnswer."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from denoised_client import calls
from denoised_client.answers import Answer, checked, parsed
from denoised_client.calls import Texts
from denoised_client.deadline import Deadline
from denoised_client.effects import Call, Flow, ItemFlow, Open, Opened, Pause, Read
from denoised_client.errors import ApiError, DenoisedError, NotFound, StillRunning, Unreachable
from denoised_client.resources import JobPage, JobSnapshot, Resource
from denoised_client.retries import RetryPolicy

R = TypeVar("R", bound=Resource)


@dataclass(slots=True)
class Patience:
    """What one request has cost so far in failures and pauses, and until when it is of use."""

    policy: RetryPolicy
    deadline: Deadline = Deadline()
    failures: int = 0
    paused_s: float = 0.0

    def after(self, error: DenoisedError) -> Flow[None]:
        """Pause before the next try.

        Raises the error where there should be none, StillRunning where there is no time for one.
        """
        self.failures += 1
        pause_s = self.policy.pause_s(
            error, failures=self.failures, paused_s=self.paused_s, chance=random.random()
        )
        if self._is_out_of_time(error, pause_s):
            raise StillRunning(f"no answer within the time given: {error}") from error
        if pause_s is None:
            raise error
        self.paused_s += pause_s
        yield Pause(pause_s)

    def _is_out_of_time(self, error: DenoisedError, pause_s: float | None) -> bool:
        """Who had no answer by the deadline was cut off by it, also on the last try."""
        if pause_s is None:
            return isinstance(error, Unreachable) and self.deadline.left_s() <= 0
        return self.deadline.left_s() < pause_s


@dataclass(frozen=True, slots=True)
class Service:
    """The service at the other end, as patient as `policy`."""

    policy: RetryPolicy

    def ask(self, call: Call) -> Flow[Answer]:
        """The whole answer, after as many tries as it takes and the policy allows.

        Raises StillRunning when the call's deadline is over.
        """
        patience = Patience(self.policy, call.deadline)
        while True:
            try:
                return checked((yield from exchanged(call)))
            except (ApiError, Unreachable) as error:
                yield from patience.after(error)

    def read(self, call: Call, kind: type[R]) -> Flow[R]:
        """The answer as a resource."""
        return parsed((yield from self.ask(call)), kind)

    def delete(self, call: Call) -> Flow[None]:
        """Not found, when an earlier try may have arrived, is done."""
        patience = Patience(self.policy)
        while True:
            try:
                checked((yield from exchanged(call)))
                return
            except (ApiError, Unreachable) as error:
                if isinstance(error, NotFound) and patience.failures:
                    return
                yield from patience.after(error)

    def fetch(self, call: Call) -> Flow[bytes]:
        """A file. What arrived before the connection was cut is not asked for again."""
        download, patience = _Download(call), Patience(self.policy)
        while True:
            try:
                return (yield from download.carry_on())
            except (ApiError, Unreachable) as error:
                yield from patience.after(error)

    def jobs(
        self, *, status: Texts, model: Texts, metadata: Mapping[str, Any]
    ) -> ItemFlow[JobSnapshot]:
        """Those of the list, newest first, page by page."""
        token = None
        while True:
            call = calls.jobs(status=status, model=model, metadata=metadata, token=token)
            page = yield from self.read(call, JobPage)
            yield from page.data
            if (token := page.next_page_token) is None:
                return


def opened(call: Call, *, as_events: bool = False) -> Flow[Opened]:
    """The head of the answer, whatever its status."""
    head: Opened = yield Open(call, as_events)
    return head


def rest_of(head: Opened) -> Flow[bytes]:
    """All of a body that is still to be read."""
    body = bytearray()
    while (part := (yield Read(head))) is not None:
        body += part
    return bytes(body)


def opened_file(call: Call) -> Flow[Opened]:
    """The head of an answer with a file. Raises ApiError."""
    head = yield from opened(call)
    if head.status not in (200, 206):
        checked(Answer(head.status, head.headers, (yield from rest_of(head))))
    return head


def exchanged(call: Call) -> Flow[Answer]:
    """One try."""
    head = yield from opened(call)
    return Answer(head.status, head.headers, (yield from rest_of(head)))


@dataclass(slots=True)
class _Download:
    """A file, as far as it has come."""

    call: Call
    received: bytearray = field(default_factory=bytearray)
    etag: str | None = None

    def carry_on(self) -> Flow[bytes]:
        """The whole file, or Unreachable with what was received kept for the next try."""
        head = yield from opened_file(self._rest())
        if head.status != 206:
            self.received.clear()
        self.etag = head.headers.get("etag")
        while (part := (yield Read(head))) is not None:
            self.received += part
        return bytes(self.received)

    def _rest(self) -> Call:
        """A strong ETag says that the rest belongs to what we have (RFC 9110, 13.1.5)."""
        if not self.received or self.etag is None or self.etag.startswith("W/"):
            return self.call
        rest = {"Range": f"bytes={len(self.received)}-", "If-Range": self.etag}
        return replace(self.call, headers={**self.call.headers, **rest})
