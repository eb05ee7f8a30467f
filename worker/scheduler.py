"""Who is in the next step: pure decisions, no clock, no device, no Redis.

The places of a step are dealt out one by one: to the most urgent jobs first; among those of one
urgency to each tenant in turn, and to each of a tenant's jobs in turn. A place costs every row the
same, so taking turns is deficit round-robin with a quantum of one place. A row that gets none waits
with its state for the next step: nobody waits for another's chain to end, only for a turn.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from worker.places import places
from worker.row import Row, Ticket

AGEING_STEPS = 1000  # after so many steps in line a ticket counts as one level more urgent


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step, and how they differ from those of the step before."""

    rows: list[Row] = field(default_factory=list)
    joined: list[Row] = field(default_factory=list)  # these take their first step
    left: list[Row] = field(default_factory=list)  # dropped before their end


@dataclass(eq=False, slots=True)
class _Line:
    """One job: its rows under way and, behind them, those that have no state yet."""

    tenant: str
    turn: int = 0  # when it last had a place
    places: int = 0  # of the last step that were its own
    under_way: list[Row] = field(default_factory=list)
    waiting: deque[Row] = field(default_factory=deque)

    def forget_dropped(self) -> list[Row]:
        """Take out the rows whose ticket is over; return those that were under way."""
        while self.waiting and self.waiting[0].ticket.done.done():
            self.waiting.popleft()
        left, stay = list[Row](), list[Row]()
        for row in self.under_way:  # each asked once: a drop meanwhile would lose it, and its slot
            (left if row.ticket.done.done() else stay).append(row)
        self.under_way = stay
        return left

    @property
    def ends_together(self) -> bool:
        """Whether so few rows are left that they take turns, lest the last be drawn alone."""
        return len(self.under_way) + len(self.waiting) <= 2 * self.places

    def settle(self, stepped: set[int]) -> None:
        """Note who (by id) had a place; where rows take turns, those go to the back."""
        had = [row for row in self.under_way if id(row) in stepped]
        if self.ends_together:
            self.under_way = [row for row in self.under_way if id(row) not in stepped] + had
        self.places = len(had)

    def urgency(self, now: int, ageing_steps: int) -> int:
        """That of its oldest ticket; 0 first."""
        ticket = (self.under_way or self.waiting)[0].ticket
        return max(0, ticket.urgency - (now - ticket.since) // ageing_steps)


class Scheduler:
    """Deals out the places of a step, to rows of which up to `slots` may be under way.

    `step_s`: seconds of a step by the chunk sizes there are; the largest is the `width`.
    """

    def __init__(
        self, *, step_s: Mapping[int, float], slots: int, ageing_steps: int = AGEING_STEPS
    ) -> None:
        self.width, self.slots = max(step_s), slots
        assert self.width <= slots, f"{slots} slots for a step of {self.width}"
        self._step_s = step_s
        self._ageing_steps = ageing_steps
        self._lines: dict[str, _Line] = {}
        self._tenant_turns: dict[str, int] = {}
        self._turns = count(1)
        self._now = 0  # in steps

    @property
    def under_way(self) -> list[Row]:
        """Rows that have a state on the device."""
        return [row for line in self._lines.values() for row in line.under_way]

    @property
    def waiting_rows(self) -> int:
        """Rows submitted that have no state yet."""
        return sum(len(line.waiting) for line in self._lines.values())

    @property
    def idle(self) -> bool:
        """Whether no job is in line."""
        return not self._lines

    def submit(self, ticket: Ticket) -> None:
        """Put a ticket's rows in line, behind those of its own job."""
        ticket.since = self._now
        line = self._lines.setdefault(ticket.job_id, _Line(ticket.tenant))
        line.waiting.extend(ticket.rows())

    def schedule(self) -> Batch:
        """Let dropped rows go, then deal out the places of the next step."""
        self._now += 1
        left = [row for line in self._lines.values() for row in line.forget_dropped()]
        self._forget_empty()
        batch = Batch(left=left)
        rows = len(self.under_way)
        free = self.slots - rows
        most = places(rows + min(free, self.waiting_rows), self._step_s)
        for level in self._levels():
            self._deal(level, batch, most=most, free=free)
        stepped = set(map(id, batch.rows))
        for line in self._lines.values():
            line.settle(stepped)
        return batch

    def advance(self, rows: list[Row]) -> list[Row]:
        """Count the step that these rows took; take out and return those at their end."""
        for row in rows:
            row.position += 1
            row.ticket.steps_taken += 1
        finished = [row for row in rows if row.finished]
        for job_id in {row.ticket.job_id for row in finished}:
            line = self._lines[job_id]
            line.under_way = [row for row in line.under_way if not row.finished]
        self._forget_empty()
        return finished

    def tickets(self) -> set[Ticket]:
        """Every ticket with a row in line."""
        return {
            row.ticket for line in self._lines.values() for row in (*line.under_way, *line.waiting)
        }

    def _levels(self) -> list[list[_Line]]:
        """The lines of each urgency, most urgent first."""
        levels: dict[int, list[_Line]] = {}
        for line in self._lines.values():
            levels.setdefault(line.urgency(self._now, self._ageing_steps), []).append(line)
        return [levels[urgency] for urgency in sorted(levels)]

    def _deal(self, lines: list[_Line], batch: Batch, *, most: int, free: int) -> None:
        """Place after place to whoever has waited longest for one: tenant, then job."""
        tenants: dict[str, list[tuple[int, int, _Line, Iterator[Row]]]] = {}
        for order, line in enumerate(lines):
            hand = (line.turn, order, line, self._rows(line, batch, free))
            tenants.setdefault(line.tenant, []).append(hand)
        turns = [(self._tenant_turns.get(tenant, 0), tenant) for tenant in tenants]
        heapify(turns)
        for hands in tenants.values():
            heapify(hands)
        while turns and len(batch.rows) < most:
            turn, tenant = heappop(turns)
            _, order, line, rows = heappop(tenants[tenant])
            row = next(rows, None)
            if row is not None:
                batch.rows.append(row)
                line.turn = turn = self._tenant_turns[tenant] = next(self._turns)
                heappush(tenants[tenant], (turn, order, line, rows))
            if tenants[tenant]:
                heappush(turns, (turn, tenant))

    def _rows(self, line: _Line, batch: Batch, free: int) -> Iterator[Row]:
        """What a job would put into this step: oldest first, then new ones.

        Near its end new ones first, then whoever has waited longest.
        """
        under_way = list(line.under_way)
        if line.ends_together:
            yield from self._joining(line, batch, free)
        yield from under_way
        yield from self._joining(line, batch, free)

    def _joining(self, line: _Line, batch: Batch, free: int) -> Iterator[Row]:
        """New rows while there are slots."""
        while line.waiting and len(batch.joined) < free:
            row = line.waiting.popleft()
            if not row.ticket.done.done():
                line.under_way.append(row)
                batch.joined.append(row)
                yield row

    def _forget_empty(self) -> None:
        for job_id in [
            j for j, line in self._lines.items() if not (line.under_way or line.waiting)
        ]:
            del self._lines[job_id]
        tenants = {line.tenant for line in self._lines.values()}
        for tenant in self._tenant_turns.keys() - tenants:
            del self._tenant_turns[tenant]
