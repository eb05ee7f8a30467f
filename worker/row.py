"""One image under way, and the shard it belongs to."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

Pixels = Any  # uint8 (H, W, C), whatever array the runner gives; never looked into here
Deliver = Callable[[int, Pixels], None]  # (absolute image index, its pixels)


class Dropped(Exception):
    """The ticket's rows left the batch before their end; the message says why."""


class Superseded(Dropped):
    """Another run has the shard by now: nothing may be said of its end any more."""


class NotFinite(Exception):
    """A chain ended in NaN or infinity: its pixels would show nothing, or anything."""


class Broken:
    """What stands for the pixels of such a chain: there are none to look at."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise NotFinite


class EngineFault(Exception):
    """A step with the ticket's rows raised: the device's state is unknown, and we must leave."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a row's chain begins, if not at x_T of its own index."""

    x_t: Any  # float32 (C, H, W) on the CPU, at the plan's first timestep
    noise_index: int  # of the noise its steps add


@dataclass(eq=False, slots=True)
class Ticket:
    """A shard's rows in the engine: what to sample, whom to give it to, when it is over.

    `done` resolves once every row was delivered; it raises Dropped or EngineFault otherwise. Many
    threads may end it: the first has the last word.
    `first_step` resolves when its first row takes its first step.
    """

    job_id: str
    tenant: str
    urgency: int  # 0 first
    plan: Any  # a models.Plan; the runner's business
    steps: int
    seed: int
    indices: tuple[int, ...]  # absolute image indices, each its own noise index
    deliver: Deliver
    starts: Mapping[int, Start] = field(default_factory=dict)  # by index, for those that have one
    classes: Mapping[int, int] = field(default_factory=dict)  # by index; none: of no class
    guidance: float = 1.0  # towards the class, away from none; 1: the class alone
    first_step: "Future[None]" = field(default_factory=Future)
    done: "Future[None]" = field(default_factory=Future)
    rows_open: int = 0
    steps_taken: int = 0  # by all rows together
    since: int = 0  # in the scheduler's steps, when it came

    def __post_init__(self) -> None:
        self.rows_open = len(self.indices)

    @classmethod
    def for_nobody(cls, plan: Any, *, seed: int, indices: Iterable[int]) -> "Ticket":
        """Images that are drawn to check or to measure, and thrown away."""
        return cls(
            job_id="nobody",
            tenant="",
            urgency=0,
            plan=plan,
            steps=plan.steps,
            seed=seed,
            indices=tuple(indices),
            deliver=lambda *_: None,
        )

    def rows(self) -> list["Row"]:
        """A fresh row for each image."""
        return [Row(self, index) for index in self.indices]

    def finish(self) -> None:
        """Every row was delivered. No effect on one that has ended."""
        with suppress(InvalidStateError):  # asked first, it might still end before it is told
            self.done.set_result(None)

    def drop(self, why: Exception) -> None:
        """End it early; its rows leave at the next step. No effect on one that has ended."""
        with suppress(InvalidStateError):
            self.done.set_exception(why)


@dataclass(eq=False, slots=True)
class Row:
    """One image: `position` counts the steps it has taken, `slot` is its place on the device."""

    ticket: Ticket
    index: int
    position: int = 0
    slot: int = -1

    @property
    def start(self) -> Start | None:
        """None: x_T, and noise of its own index."""
        return self.ticket.starts.get(self.index)

    @property
    def class_number(self) -> int | None:
        """None: of no class."""
        return self.ticket.classes.get(self.index)

    @property
    def guided(self) -> bool:
        """Whether its network is asked twice a step: of its class, and of none."""
        return self.ticket.guidance != 1.0 and self.class_number is not None

    @property
    def finished(self) -> bool:
        """Whether its chain has been run to the end."""
        return self.position >= self.ticket.steps
