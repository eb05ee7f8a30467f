"""Decisions only: who is in the next step."""

from collections import Counter
from concurrent.futures import Future
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.lines import jobs_of, step, ticket
from worker.row import Dropped
from worker.scheduler import AGEING_STEPS, Scheduler


def scheduler_of(width: int, *, slots: int | None = None) -> Scheduler:
    return Scheduler(step_s={width: 1.0}, slots=slots or 8 * width)


def test_a_late_arrival_starts_before_the_first_has_finished() -> None:
    scheduler = scheduler_of(4)
    scheduler.submit(ticket("first", n=2))
    step(scheduler)
    scheduler.submit(ticket("late", n=2))
    assert jobs_of(scheduler.schedule().rows) == {"first": 2, "late": 2}


def test_a_small_job_beside_a_large_one_is_in_every_step_from_the_first() -> None:
    scheduler = scheduler_of(4)
    scheduler.submit(ticket("large", n=10_000, steps=1000))
    step(scheduler)
    small = ticket("small", n=1, steps=250)
    scheduler.submit(small)
    for _ in range(250):
        assert small.steps_taken < 250
        step(scheduler)
    assert small.steps_taken == 250


def test_rows_that_made_way_go_on_before_new_ones_start() -> None:
    scheduler = scheduler_of(4)
    large = ticket("large", n=100, steps=10)
    scheduler.submit(large)
    step(scheduler)
    scheduler.submit(ticket("small", n=2, steps=1))
    step(scheduler)
    assert len(scheduler.under_way) == 4
    batch = scheduler.schedule()
    assert not batch.joined
    assert sorted(row.index for row in batch.rows) == [0, 1, 2, 3]


def test_jobs_of_one_tenant_take_turns() -> None:
    scheduler = scheduler_of(6)
    for job in "abc":
        scheduler.submit(ticket(job, n=10))
    assert jobs_of(scheduler.schedule().rows) == {"a": 2, "b": 2, "c": 2}


def test_tenants_share_alike_however_many_jobs_they_have() -> None:
    scheduler = scheduler_of(6)
    for i in range(10):
        scheduler.submit(ticket(f"greedy{i}", n=10, tenant="greedy"))
    scheduler.submit(ticket("modest", n=10, tenant="modest"))
    places = Counter(row.ticket.tenant for row in scheduler.schedule().rows)
    assert places == {"greedy": 3, "modest": 3}


@given(jobs=st.integers(1, 7), width=st.integers(1, 8), steps=st.integers(1, 30))
def test_places_differ_by_one_at_most_between_jobs_that_always_want_more(
    jobs: int, width: int, steps: int
) -> None:
    scheduler = scheduler_of(width, slots=1000)
    for i in range(jobs):
        scheduler.submit(ticket(f"job{i}", n=300, steps=1000))
    places: Counter[str] = Counter({f"job{i}": 0 for i in range(jobs)})
    for _ in range(steps):
        places += jobs_of(step(scheduler).rows)
    given_out = [places[f"job{i}"] for i in range(jobs)]
    assert sum(given_out) == steps * width
    assert max(given_out) - min(given_out) <= 1


def test_the_more_urgent_job_goes_first_whenever_it_came() -> None:
    scheduler = scheduler_of(2)
    scheduler.submit(ticket("normal", n=5, urgency=1))
    step(scheduler)
    scheduler.submit(ticket("high", n=2, urgency=0))
    assert jobs_of(scheduler.schedule().rows) == {"high": 2}


def test_what_the_urgent_leave_free_is_used() -> None:
    scheduler = scheduler_of(3)
    scheduler.submit(ticket("low", n=5, urgency=2))
    scheduler.submit(ticket("high", n=1, urgency=0))
    assert jobs_of(scheduler.schedule().rows) == {"high": 1, "low": 2}


def test_a_job_of_low_priority_is_not_kept_waiting_for_ever() -> None:
    scheduler = scheduler_of(2)
    low = ticket("low", n=1, steps=50, urgency=2)
    scheduler.submit(low)
    for i in range(2 * AGEING_STEPS + 150):
        if i % 10 == 0:
            scheduler.submit(ticket("high", n=2, steps=10, urgency=0))
        step(scheduler)
    assert low.steps_taken == 50


def test_a_job_waits_while_every_slot_is_taken_and_then_joins() -> None:
    scheduler = scheduler_of(2, slots=2)
    scheduler.submit(ticket("first", n=2, steps=2))
    step(scheduler)
    scheduler.submit(ticket("second", n=2, steps=1))
    assert jobs_of(step(scheduler).rows) == {"first": 2}
    assert jobs_of(step(scheduler).rows) == {"second": 2}
    assert scheduler.idle


def test_a_dropped_tickets_rows_leave_and_its_waiting_rows_never_join() -> None:
    scheduler = scheduler_of(2)
    dropped = ticket("dropped", n=5)
    scheduler.submit(dropped)
    scheduler.submit(ticket("kept", n=1))
    step(scheduler)
    dropped.drop(Dropped("canceled"))
    batch = scheduler.schedule()
    assert jobs_of(batch.left) == {"dropped": 1}
    assert jobs_of(batch.rows) == {"kept": 1}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 10))
def test_every_row_runs_exactly_its_steps(sizes: list[int], width: int) -> None:
    scheduler = scheduler_of(width)
    for i, n in enumerate(sizes):
        scheduler.submit(ticket(f"job{i}", n=n, steps=1 + i % 3))
    finished: Counter[str] = Counter()
    while not scheduler.idle:
        batch = scheduler.schedule()
        finished += jobs_of(scheduler.advance(batch.rows))
        assert all(row.position <= row.ticket.steps for row in batch.rows)
    assert finished == {f"job{i}": n for i, n in enumerate(sizes)}


def test_the_last_rows_of_a_job_take_turns_and_end_together() -> None:
    scheduler = Scheduler(step_s={8: 1.0}, slots=16)
    scheduler.submit(ticket("nine", n=9, steps=8))
    steps = 0
    while not scheduler.idle:
        step(scheduler)
        steps += 1
    assert steps <= 10, "72 row-steps for 8 places; 16 where the ninth row is drawn alone"


def test_the_rows_of_a_large_job_end_one_wave_after_the_other() -> None:
    scheduler = Scheduler(step_s={8: 1.0}, slots=64)
    scheduler.submit(ticket("large", n=40, steps=4))
    done = []
    for _ in range(8):
        done.append(len(scheduler.advance(scheduler.schedule().rows)))
    assert done == [0, 0, 0, 8, 0, 0, 0, 8]


def test_a_step_has_as_many_places_as_its_chunk_is_worth() -> None:
    scheduler = Scheduler(step_s={8: 1.0, 16: 1.7}, slots=64)
    scheduler.submit(ticket("nine", n=9, steps=4))
    assert len(step(scheduler).rows) == 8
    scheduler.submit(ticket("more", n=6, steps=4))
    assert len(step(scheduler).rows) == 15


def test_a_ticket_dropped_while_others_are_let_go_leaves_with_the_next_step() -> None:
    """Its slot on the device would be lost with it."""

    class DropsAnother(Future[None]):
        def done(self) -> bool:
            over = super().done()
            if over:
                another.drop(Dropped("at the same moment"))
            return over

    another = ticket("job", n=1)
    first = replace(ticket("job", n=1), done=DropsAnother())
    scheduler = scheduler_of(4)
    scheduler.submit(another)
    scheduler.submit(first)
    under_way = step(scheduler).rows
    first.drop(Dropped("first"))
    left = [row for _ in range(2) for row in step(scheduler).left]
    assert set(map(id, left)) == set(map(id, under_way))
