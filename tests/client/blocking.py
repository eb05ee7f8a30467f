"""An `AsyncClient` that blocks, so that one test can hold for both clients."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from anyio.from_thread import BlockingPortal
from denoised_client.async_client import AsyncClient
from denoised_client.async_job import AsyncJob


class Blocking:
    """Whatever the wrapped one returns to await, or to iterate over, is waited for here."""

    def __init__(self, wrapped: AsyncClient | AsyncJob, portal: BlockingPortal) -> None:
        self._wrapped, self._portal = wrapped, portal

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return self._blocking(found) if inspect.ismethod(found) else self._given(found)

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if inspect.isasyncgenfunction(method):
                return self._iterated(method(*arguments, **options))
            if not inspect.iscoroutinefunction(method):
                return method(*arguments, **options)
            return self._given(self._portal.call(lambda: method(*arguments, **options)))

        return call

    def _iterated(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                item = self._portal.call(anext, items)
            except StopAsyncIteration:
                return
            yield self._given(item)

    def _given(self, value: Any) -> Any:
        return Blocking(value, self._portal) if isinstance(value, AsyncJob) else value
