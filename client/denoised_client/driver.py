"""Carries flows out for callers that block."""

import time
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx2

from denoised_client.connection import Connection
from denoised_client.effects import (
    Call,
    Close,
    Effect,
    Ended,
    Flow,
    ItemFlow,
    Open,
    Opened,
    Outcome,
    Pause,
    Read,
    Work,
    as_item,
)
from denoised_client.errors import DenoisedError

T = TypeVar("T")
Streams = dict[Opened, tuple[httpx2.Response, Iterator[Any]]]


class Driver:
    """One pool of connections."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = connection.pool(httpx2.Client)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        [result] = self.iterate(as_item(flow))
        return result

    def iterate(self, flow: ItemFlow[T]) -> Iterator[T]:
        """The flow's items. Whoever stops early leaves nothing open."""
        streams: Streams = {}
        outcome = Outcome()
        try:
            while not isinstance(asked := outcome.sent_to(flow), Ended):
                if isinstance(asked, Effect):
                    outcome = self._carry_out(asked, streams)
                else:
                    yield asked
                    outcome = Outcome()
        finally:
            flow.close()
            for response, _ in streams.values():
                response.close()

    def _carry_out(self, effect: Effect, streams: Streams) -> Outcome:
        try:
            return Outcome(self._perform(effect, streams))
        except httpx2.RequestError as error:
            return Outcome(error=self._connection.lost(error))
        except (DenoisedError, OSError) as error:
            return Outcome(error=error)

    def _perform(self, effect: Effect, streams: Streams) -> object:
        match effect:
            case Open(call, as_events):
                return self._open(call, as_events, streams)
            case Read(opened):
                return self._read(opened, streams)
            case Close(opened):
                streams.pop(opened)[0].close()
            case Pause(seconds):
                time.sleep(seconds)
            case Work(function):
                return function()
        return None

    def _open(self, call: Call, as_events: bool, streams: Streams) -> Opened:
        request = self._connection.request(self._http, call)
        response = self._http.send(request, stream=True)
        opened = Opened(response.status_code, response.headers)
        parts = httpx2.EventSource(response) if as_events else response.iter_bytes()
        streams[opened] = response, iter(parts)
        return opened

    def _read(self, opened: Opened, streams: Streams) -> object:
        response, parts = streams[opened]
        part = next(parts, None)
        if part is None:
            streams.pop(opened)
            response.close()
        return part
