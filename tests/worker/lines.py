"""Tickets of a scheduler that nobody draws for."""

from collections import Counter
from collections.abc import Iterable

from worker.row import Row, Ticket
from worker.scheduler import Batch, Scheduler


def ticket(job: str, *, n: int, steps: int = 3, urgency: int = 1, tenant: str = "") -> Ticket:
    return Ticket(
        job_id=job,
        tenant=tenant,
        urgency=urgency,
        plan=None,
        steps=steps,
        seed=0,
        indices=tuple(range(n)),
        deliver=lambda index, pixels: None,
    )


def jobs_of(rows: Iterable[Row]) -> Counter[str]:
    return Counter(row.ticket.job_id for row in rows)


def step(scheduler: Scheduler) -> Batch:
    batch = scheduler.schedule()
    scheduler.advance(batch.rows)
    return batch
