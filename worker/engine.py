"""The loop: schedule, step, retire. It is handed a Runner and knows no device."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Protocol

from protocol.counted import STEP_US, step_bucket
from worker.row import Dropped, EngineFault, Pixels, Row, Ticket
from worker.scheduler import Batch, Scheduler

log = logging.getLogger(__name__)
STEPS_REMEMBERED = 1000


class Runner(Protocol):
    """What the engine asks of the device."""

    step_s: Mapping[int, float]  # seconds of a step, by chunk size
    slots: int  # rows under way at most

    def admit(self, row: Row) -> None:
        """Give a row a slot and its first state."""

    def step(self, rows: list[Row]) -> None:
        """Take every row one position further."""

    def collect(self, rows: list[Row]) -> list[Pixels]:
        """The finished rows' images as uint8 (H, W, C); their slots are free afterwards."""

    def preview(self, rows: list[Row]) -> list[Pixels]:
        """What rows under way look like by now, uint8 (H, W, C)."""

    def release(self, row: Row) -> None:
        """Free a slot whose image nobody wants."""


class Engine(threading.Thread):
    """All waiting jobs in one batch, a step at a time, in a thread of its own."""

    def __init__(self, runner: Runner, *, on_fault: Callable[[], None]) -> None:
        super().__init__(name="engine", daemon=True)
        self.counters: Counter[str] = Counter()
        self.full_steps_s: deque[float] = deque(maxlen=STEPS_REMEMBERED)  # of full width only
        self._runner = runner
        self._scheduler = Scheduler(step_s=runner.step_s, slots=runner.slots)
        self._on_fault = on_fault
        self._changed = threading.Condition()
        self._batch = Batch()  # of the step under way
        self._looks: deque[tuple[Ticket, int, Future[list[Pixels]]]] = deque()
        self._stopping = False

    @property
    def is_full(self) -> bool:
        """Whether there are rows for every place of a step."""
        with self._changed:
            rows = len(self._scheduler.under_way) + self._scheduler.waiting_rows
            return rows >= self._scheduler.width

    @property
    def width(self) -> int:
        """Rows of a full step."""
        return self._scheduler.width

    @property
    def waiting_rows(self) -> int:
        """Rows that have not taken a step."""
        with self._changed:
            return self._scheduler.waiting_rows

    @property
    def under_way(self) -> list[Row]:
        """Rows that have taken a step and not their last."""
        with self._changed:
            return self._scheduler.under_way

    def submit(self, ticket: Ticket) -> None:
        """Put a ticket in line; its rows join as soon as there are places."""
        with self._changed:
            self._scheduler.submit(ticket)
            self._changed.notify()

    def look(self, ticket: Ticket, *, most: int) -> "Future[list[Pixels]]":
        """The x0_hat of a ticket's first rows under way, after the next step there is."""
        seen: Future[list[Pixels]] = Future()
        self._looks.append((ticket, most, seen))
        return seen

    def stop(self) -> None:
        """Leave the loop after the step under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Step while there are rows, sleep while there are none."""
        try:
            while self._wait_for_work():
                self.step()
        except Exception as error:
            log.exception("step failed with %d rows", len(self._scheduler.under_way))
            self._fail_all(error)
            raise  # the device's state is unknown now: leave, and let the supervisor start afresh

    def step(self) -> None:
        """One denoising step for every row there is place for."""
        started = time.perf_counter()
        with self._changed:
            batch = self._batch = self._scheduler.schedule()
        for row in batch.left:
            self._runner.release(row)
        for row in batch.joined:
            self._runner.admit(row)
            if not row.ticket.first_step.done():
                row.ticket.first_step.set_result(None)
        if batch.rows:
            self._runner.step(batch.rows)
        self._count(batch)
        with self._changed:
            finished = self._scheduler.advance(batch.rows)
        for row, pixels in zip(finished, self._runner.collect(finished), strict=True):
            self._deliver(row, pixels)
        self._show()
        self._clock(batch, time.perf_counter() - started)

    def _clock(self, batch: Batch, seconds: float) -> None:
        if batch.rows:
            self.counters[STEP_US] += int(1e6 * seconds)
            self.counters[step_bucket(seconds)] += 1
        if len(batch.rows) == self._scheduler.width:
            self.full_steps_s.append(seconds)

    def _deliver(self, row: Row, pixels: Pixels) -> None:
        ticket = row.ticket
        if ticket.done.done():  # dropped during its last step
            return
        self.counters["images"] += 1
        ticket.deliver(row.index, pixels)
        ticket.rows_open -= 1
        if ticket.rows_open == 0:
            ticket.finish()

    def _show(self) -> None:
        while self._looks:
            ticket, most, seen = self._looks.popleft()
            rows = [row for row in self.under_way if row.ticket is ticket]
            rows.sort(key=lambda row: row.index)
            seen.set_result(self._runner.preview(rows[:most]))

    def _wait_for_work(self) -> bool:
        with self._changed:
            while self._scheduler.idle and not self._stopping:
                self._changed.wait()
            return not self._stopping

    def _fail_all(self, error: Exception) -> None:
        """Only those with a row in the step are to blame; the others have lost their states."""
        self._on_fault()
        fault = EngineFault(f"{type(error).__name__}: {error}")
        with self._changed:
            suspects = {row.ticket for row in self._batch.rows}
            for ticket in self._scheduler.tickets() | suspects:
                ticket.drop(fault if ticket in suspects else Dropped("the engine has stopped"))

    def _count(self, batch: Batch) -> None:
        """What the worker tells of itself; `joined_running` are joins to another job's chain."""
        jobs = {row.ticket.job_id for row in batch.rows}
        under_way = {row.ticket.job_id for row in batch.rows if row.position > 0}
        self.counters["steps"] += bool(batch.rows)
        self.counters["row_steps"] += len(batch.rows)
        self.counters["joined_running"] += sum(
            bool(under_way - {row.ticket.job_id}) for row in batch.joined
        )
        self.counters["most_jobs_in_a_step"] = max(self.counters["most_jobs_in_a_step"], len(jobs))
