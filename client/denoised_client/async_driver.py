"""Carries flows out for callers that await, on asyncio or trio."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
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
Streams = dict[Opened, tuple[httpx2.Response, AsyncIterator[Any]]]


class AsyncDriver:
    """One pool of connections."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = connection.pool(httpx2.AsyncClient)

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns."""
        [result] = [item async for item in self.iterate(as_item(flow))]
        return result

    async def iterate(self, flow: ItemFlow[T]) -> AsyncIterator[T]:
        """The flow's items. Whoever stops early leaves nothing open."""
        streams: Streams = {}
        outcome = Outcome()
        try:
            while not isinstance(asked := outcome.sent_to(flow), Ended):
                if isinstance(asked, Effect):
                    outcome = await self._carry_out(asked, streams)
                else:
                    yield asked
                    outcome = Outcome()
        finally:
            flow.close()
            for response, _ in streams.values():
                await response.aclose()

    async def _carry_out(self, effect: Effect, streams: Streams) -> Outcome:
        try:
            return Outcome(await self._perform(effect, streams))
        except httpx2.RequestError as error:
            return Outcome(error=self._connection.lost(error))
        except (DenoisedError, OSError) as error:
            return Outcome(error=error)

    async def _perform(self, effect: Effect, streams: Streams) -> object:
        match effect:
            case Open(call, as_events):
                return await self._open(call, as_events, streams)
            case Read(opened):
                return await self._read(opened, streams)
            case Close(opened):
                await streams.pop(opened)[0].aclose()
            case Pause(seconds):
                await anyio.sleep(seconds)
            case Work(function):
                return await anyio.to_thread.run_sync(function)
        return None

    async def _open(self, call: Call, as_events: bool, streams: Streams) -> Opened:
        request = self._connection.request(self._http, call)
        response = await self._http.send(request, stream=True)
        opened = Opened(response.status_code, response.headers)
        parts = httpx2.EventSource(response) if as_events else response.aiter_bytes()
        streams[opened] = response, aiter(parts)
        return opened

    async def _read(self, opened: Opened, streams: Streams) -> object:
        response, parts = streams[opened]
        part = await anext(parts, None)
        if part is None:
            streams.pop(opened)
            await response.aclose()
        return part
