"""Who is in the next step: pure decisions, no clock, no device, no Redis."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from worker.row import Row, Ticket


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step, and how they differ from those of the step before."""

    rows: list[Row]
    joined: list[Row]
    left: list[Row]  # dropped before their end; their slots are free again


class Scheduler:
    """Rows join at any step and leave when done.

    Free places go to the most urgent jobs first, and in turn to jobs of the same urgency, so a
    job of ten thousand images does not stand in front of a job of one.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.running: list[Row] = []
        self._waiting: dict[int, OrderedDict[str, deque[Row]]] = {}

    @property
    def waiting_rows(self) -> int:
        """Rows submitted that have no place yet."""
        return sum(len(line) for jobs in self._waiting.values() for line in jobs.values())

    def submit(self, ticket: Ticket) -> None:
        """Put a ticket's rows in line, behind those of its own job."""
        jobs = self._waiting.setdefault(ticket.urgency, OrderedDict())
        jobs.setdefault(ticket.job_id, deque()).extend(ticket.rows())

    def schedule(self) -> Batch:
        """Let dropped rows go, fill the places that are free, return this step's rows."""
        left = [row for row in self.running if row.ticket.done.done()]
        self.running = [row for row in self.running if not row.ticket.done.done()]
        joined: list[Row] = []
        while len(self.running) < self.capacity:
            row = self._next_waiting()
            if row is None:
                break
            joined.append(row)
            self.running.append(row)
        return Batch(list(self.running), joined, left)

    def advance(self) -> list[Row]:
        """Count the step just taken; take out and return the rows that have reached their end."""
        for row in self.running:
            row.position += 1
            row.ticket.steps_taken += 1
        finished = [row for row in self.running if row.finished]
        self.running = [row for row in self.running if not row.finished]
        return finished

    def tickets(self) -> set[Ticket]:
        """Every ticket with a row running or waiting."""
        waiting = (row for jobs in self._waiting.values() for line in jobs.values() for row in line)
        return {row.ticket for row in (*self.running, *waiting)}

    def _next_waiting(self) -> Row | None:
        """The next job's next row; the job then goes to the end of its line of jobs."""
        for urgency in sorted(self._waiting):
            jobs = self._waiting[urgency]
            while jobs:
                job_id, line = jobs.popitem(last=False)
                row = _pop_open(line)
                if line:
                    jobs[job_id] = line
                if row is not None:
                    return row
            del self._waiting[urgency]
        return None


def _pop_open(line: deque[Row]) -> Row | None:
    """The first row whose ticket has not been dropped."""
    while line:
        row = line.popleft()
        if not row.ticket.done.done():
            return row
    return None
