"""`python -m tests.e2e.poisoned_worker`: a real worker whose network cannot stand some seeds."""

import dataclasses
import os
import signal
import uuid
from typing import cast

from redis import Redis

from protocol.shard_queue import queue_names
from worker.batch_worker import BatchWorker
from worker.resident import ResidentModel, model_name
from worker.row import Row
from worker.runner import TorchRunner
from worker.settings import WorkerSettings

RAISES, KILLS, BREAKS = 666, 667, 668  # seeds
HARMLESS_STEPS = 20  # first, so that it has company


class PoisonedRunner:
    """The real one, but for what some seeds do to it."""

    def __init__(self, runner: TorchRunner) -> None:
        self._runner = runner

    def __getattr__(self, name: str) -> object:
        return getattr(self._runner, name)

    def step(self, rows: list[Row]) -> None:
        """Take every row one position further, or die of it."""
        for row in rows:
            if row.position == HARMLESS_STEPS:
                self._suffer(row)
        self._runner.step(rows)

    def _suffer(self, row: Row) -> None:
        if row.ticket.seed == RAISES:
            raise RuntimeError("poisoned")
        if row.ticket.seed == KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        if row.ticket.seed == BREAKS:
            self._runner.state(row).fill_(float("nan"))


class PoisonedWorker(BatchWorker):
    """Loads as always."""

    def load(self, settings: WorkerSettings) -> ResidentModel:
        """The model, around the poisoned runner."""
        model = super().load(settings)
        return dataclasses.replace(model, runner=cast(TorchRunner, PoisonedRunner(model.runner)))


def main() -> None:
    """Leaves with 70 after a fault, as `python -m worker` does."""
    settings = WorkerSettings()
    worker = PoisonedWorker(
        queue_names(model_name(settings.model)),
        name=f"poisoned-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        connection=Redis.from_url(settings.redis_url),
    )
    worker.work(logging_level="WARNING")
    raise SystemExit(70 if worker.service.faulted else 0)


if __name__ == "__main__":
    main()
