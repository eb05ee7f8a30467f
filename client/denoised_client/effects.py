"""How the logic is written once, for callers that block and for those that await.

A flow is a generator. It yields what it needs done (an `Effect`), is sent the outcome, and returns
its result. It does no I/O itself; `driver.py` and `async_driver.py` do, and are all that
differs between `Client` and `AsyncClient`. A flow may also yield items, which are anything but
effects: the driver hands them to the caller one by one.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from denoised_client.deadline import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `path` is below the service's address, never an address of its own."""

    method: str
    path: str
    params: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    held_s: float = 0.0  # how long the service may hold its answer back, beside the usual time-out
    deadline: Deadline = Deadline()  # when nobody waits for the answer any more


class Effect:
    """The base of what a flow may ask for."""


@dataclass(frozen=True, slots=True)
class Open(Effect):
    """Send a request; the outcome is an `Opened`, whose body is still to be read."""

    call: Call
    as_events: bool = False  # read it as server-sent events, not as bytes


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An answer's head."""

    status: int
    headers: Mapping[str, str]  # names in lower case


@dataclass(frozen=True, slots=True)
class Read(Effect):
    """The next bytes, or the next event, of an answer; None at its end, when it is closed too."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Close(Effect):
    """Leave the rest of an answer unread. What a flow leaves open is closed when it ends."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Pause(Effect):
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work(Effect):
    """Call a function that uses the disk or the processor for a while; the outcome is its own."""

    function: Callable[[], Any]


Flow = Generator[Effect, Any, T]  # returns a T
ItemFlow = Generator[Effect | T, Any, None]  # yields Ts among its effects


class Ended:
    """What a flow yields when there is nothing more to yield."""


ENDED: Final = Ended()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an effect: a value, or an error that the flow may handle."""

    value: object = None
    error: Exception | None = None

    def sent_to(self, flow: ItemFlow[T]) -> Effect | T | Ended:
        """What the flow asks for next."""
        try:
            return flow.send(self.value) if self.error is None else flow.throw(self.error)
        except StopIteration:
            return ENDED


def as_item(flow: Flow[T]) -> ItemFlow[T]:
    """The flow's result as its only item."""
    yield (yield from flow)


def worked(function: Callable[[], T]) -> Flow[T]:
    """What the function returns."""
    result: T = yield Work(function)
    return result
