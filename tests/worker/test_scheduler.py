"""Decisions only: who is in the next step."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from worker.row import Dropped, Row, Ticket
from worker.scheduler import Scheduler


def ticket(job: str, *, n: int, steps: int = 3, urgency: int = 1) -> Ticket:
    return Ticket(
        job_id=job,
        urgency=urgency,
        plan=None,
        steps=steps,
        seed=0,
        indices=tuple(range(n)),
        deliver=lambda index, pixels: None,
    )


def jobs_of(rows: list[Row]) -> Counter[str]:
    return Counter(row.ticket.job_id for row in rows)


def test_a_late_arrival_starts_before_the_first_has_finished() -> None:
    scheduler = Scheduler(capacity=4)
    scheduler.submit(ticket("first", n=2))
    scheduler.schedule()
    scheduler.advance()
    scheduler.submit(ticket("late", n=2))
    assert jobs_of(scheduler.schedule().rows) == {"first": 2, "late": 2}


def test_a_large_job_does_not_stand_in_front_of_a_small_one() -> None:
    scheduler = Scheduler(capacity=4)
    scheduler.submit(ticket("large", n=100, steps=1))
    scheduler.schedule()
    scheduler.submit(ticket("small", n=1, steps=1))
    scheduler.advance()
    assert jobs_of(scheduler.schedule().rows) == {"large": 3, "small": 1}


def test_jobs_of_one_urgency_take_turns() -> None:
    scheduler = Scheduler(capacity=6)
    for job in "abc":
        scheduler.submit(ticket(job, n=10))
    assert jobs_of(scheduler.schedule().rows) == {"a": 2, "b": 2, "c": 2}


def test_the_more_urgent_job_goes_first_whenever_it_came() -> None:
    scheduler = Scheduler(capacity=2)
    scheduler.submit(ticket("normal", n=5, urgency=1))
    scheduler.submit(ticket("high", n=2, urgency=0))
    assert jobs_of(scheduler.schedule().rows) == {"high": 2}


def test_rows_leave_when_their_own_chain_ends() -> None:
    scheduler = Scheduler(capacity=2)
    scheduler.submit(ticket("short", n=1, steps=1))
    scheduler.submit(ticket("long", n=1, steps=2))
    scheduler.schedule()
    assert jobs_of(scheduler.advance()) == {"short": 1}
    assert jobs_of(scheduler.schedule().rows) == {"long": 1}
    assert jobs_of(scheduler.advance()) == {"long": 1}


def test_a_dropped_tickets_rows_leave_and_its_waiting_rows_never_join() -> None:
    scheduler = Scheduler(capacity=2)
    dropped = ticket("dropped", n=5)
    scheduler.submit(dropped)
    scheduler.submit(ticket("kept", n=1))
    scheduler.schedule()
    dropped.drop(Dropped("canceled"))
    batch = scheduler.schedule()
    assert jobs_of(batch.left) == {"dropped": 1}
    assert jobs_of(batch.rows) == {"kept": 1}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 10))
def test_every_row_runs_exactly_its_steps(sizes: list[int], capacity: int) -> None:
    scheduler = Scheduler(capacity)
    for i, n in enumerate(sizes):
        scheduler.submit(ticket(f"job{i}", n=n, steps=1 + i % 3))
    finished: list[Row] = []
    for _ in range(3 * sum(sizes)):
        scheduler.schedule()
        finished += scheduler.advance()
    assert jobs_of(finished) == {f"job{i}": n for i, n in enumerate(sizes)}
    assert all(row.position == row.ticket.steps for row in finished)
    assert scheduler.waiting_rows == 0
    assert not scheduler.running


class Arrivals(RuleBasedStateMachine):
    """Any order of submits, drops and steps: no row twice, never too many, none forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(capacity=5)
        self.tickets: list[Ticket] = []
        self.finished: list[Row] = []

    @rule(n=st.integers(1, 12), steps=st.integers(1, 4), urgency=st.integers(0, 2))
    def submit(self, n: int, steps: int, urgency: int) -> None:
        new = ticket(f"job{len(self.tickets) % 4}", n=n, steps=steps, urgency=urgency)
        self.tickets.append(new)
        self.scheduler.submit(new)

    @rule(which=st.integers(0, 30))
    def drop(self, which: int) -> None:
        if self.tickets:
            self.tickets[which % len(self.tickets)].drop(Dropped("canceled"))

    @rule()
    def step(self) -> None:
        batch = self.scheduler.schedule()
        places_left = self.scheduler.capacity - len(batch.rows)
        assert places_left == 0 or self.scheduler.waiting_rows == 0, "a place stays empty"
        self.finished += self.scheduler.advance()

    @invariant()
    def rows_are_unique_and_few(self) -> None:
        running = self.scheduler.running
        assert len(running) <= self.scheduler.capacity
        seen = [(id(row.ticket), row.index) for row in (*running, *self.finished)]
        assert len(seen) == len(set(seen))

    def teardown(self) -> None:
        for _ in range(10_000):
            if not (self.scheduler.running or self.scheduler.waiting_rows):
                break
            self.step()
        ended = Counter(id(row.ticket) for row in self.finished)
        for each in self.tickets:
            assert each.done.done() or ended[id(each)] == len(each.indices)


TestArrivals = Arrivals.TestCase
