"""The scheduler as a state machine: any order of submits, drops and steps."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.worker.lines import ticket
from worker.row import Dropped, Row, Ticket
from worker.scheduler import Scheduler

STEP_S, SLOTS, AGEING_STEPS = {3: 1.2, 5: 1.8}, 12, 20  # of four rows one waits
WIDTH = max(STEP_S)


class Arrivals(RuleBasedStateMachine):
    """No row twice, never too many, none forgotten, none kept waiting for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(step_s=STEP_S, slots=SLOTS, ageing_steps=AGEING_STEPS)
        self.tickets: list[Ticket] = []
        self.finished: list[Row] = []

    @rule(
        n=st.integers(1, 12),
        steps=st.integers(1, 4),
        urgency=st.integers(0, 2),
        tenant=st.sampled_from("xy"),
    )
    def submit(self, n: int, steps: int, urgency: int, tenant: str) -> None:
        job = f"{tenant}{urgency}-{len(self.tickets) % 2}"
        new = ticket(job, n=n, steps=steps, urgency=urgency, tenant=tenant)
        self.tickets.append(new)
        self.scheduler.submit(new)

    @rule(which=st.integers(0, 30))
    def drop(self, which: int) -> None:
        if self.tickets:
            self.tickets[which % len(self.tickets)].drop(Dropped("canceled"))

    @rule()
    def step(self) -> None:
        batch = self.scheduler.schedule()
        assert len({id(row) for row in batch.rows}) == len(batch.rows) <= WIDTH
        assert set(map(id, batch.joined)) <= set(map(id, batch.rows)), "joined, but not stepped"
        assert all(row.position == 0 for row in batch.joined)
        assert not any(row.ticket.done.done() for row in batch.rows)
        if len(batch.rows) not in STEP_S:  # then everybody is in it
            assert len(batch.rows) == len(self.scheduler.under_way)
            assert not self.scheduler.waiting_rows or len(batch.rows) == SLOTS
        for row in self.scheduler.advance(batch.rows):
            self.finished.append(row)
            row.ticket.rows_open -= 1

    @invariant()
    def rows_are_unique_and_few(self) -> None:
        under_way = self.scheduler.under_way
        assert len(under_way) <= SLOTS
        seen = [(id(row.ticket), row.index) for row in (*under_way, *self.finished)]
        assert len(seen) == len(set(seen))

    def teardown(self) -> None:
        """Urgent work without end arrives; all that was accepted before ends all the same."""
        accepted = list(self.tickets)
        work = sum(len(each.indices) * each.steps for each in accepted)
        for i in range(2 * AGEING_STEPS + 2 * work + 10):
            if i % 4 == 0:
                self.scheduler.submit(ticket("endless", n=WIDTH, steps=4, urgency=0, tenant="z"))
            self.step()
            if all(map(self._over, accepted)):
                return
        raise AssertionError("work was kept waiting")

    @staticmethod
    def _over(each: Ticket) -> bool:
        return each.done.done() or each.rows_open == 0


TestArrivals = Arrivals.TestCase
