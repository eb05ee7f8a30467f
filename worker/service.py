"""A worker's parts, put together: model, engine, shards, registry, reaper."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from redis import Redis
from rq import Queue

from protocol.counted import Count
from protocol.counts import Counts
from protocol.image_store import RedisImageStore
from protocol.job_store import JobStore
from protocol.messages import WorkerInfo
from protocol.registry import Registry
from worker.engine import Engine
from worker.janitor import Janitor
from worker.load import LoadMeter
from worker.reaper import Reaper
from worker.resident import ResidentModel, load_resident
from worker.settings import WorkerSettings
from worker.shard_runner import ShardRunner
from worker.tally import Teller


class CannotStart(Exception):
    """Settings or a checkpoint that cannot be served: it would be no different the next time."""


class DeviceFault(Exception):
    """The device did not take the model, for want of memory say: it may the next time."""


class WorkerService:
    """What a BatchWorker runs. `faulted`: a step raised, and the process must leave."""

    def __init__(
        self, name: str, redis: Redis, queues: list[Queue], model: ResidentModel, *, grace_s: float
    ) -> None:
        self.name, self.model, self.grace_s = name, model, grace_s
        self.faulted = False
        self.engine = Engine(self.model.runner, on_fault=self.fault)
        self.load = LoadMeter(self.engine.width)
        self.registry = Registry(redis)
        self._teller = Teller(Counts(redis), self.model.name)
        store = JobStore(redis)
        self.shards = ShardRunner(name, self.model, self.engine, store, RedisImageStore(redis))
        self.janitor = Janitor(redis, store, queues, model=self.model.name)
        self.reaper = Reaper(redis, store, queues, model=self.model.name)

    @property
    def is_full(self) -> bool:
        """Whether as many rows are under way as fit in a step."""
        return self.engine.is_full

    def start(self) -> None:
        """Begin to step, and tell the world."""
        self.engine.start()
        self.registry.publish(self.model.info())
        self.heartbeat()

    def heartbeat(self) -> None:
        """Tell the registry that we live, and how busy we are."""
        self.registry.heartbeat(
            WorkerInfo(
                name=self.name,
                model=self.model.name,
                device=self.model.numerics.chip,
                precision=self.model.numerics.precision,
                mode=self.model.numerics.mode,
                engine=self.model.engine,
                load=self.load.read(
                    time.monotonic(),
                    self.engine.counters,
                    running=len(self.engine.under_way),
                    waiting=self.engine.waiting_rows,
                ),
                counters={**self.engine.counters, **step_times(self.engine)},
            )
        )

    def report(self) -> None:
        """Tell each shard's progress, and what was counted."""
        self.shards.report()
        self._tell()

    def tidy(self) -> None:
        """Put back what dead workers left, and what RQ has lost."""
        self.reaper.run()
        self.janitor.run()

    def stop(self) -> None:
        """Stop stepping and take the name off the list."""
        self.engine.stop()
        self.engine.join(timeout=10)
        self._tell()
        self.registry.leave(self.name)

    def _tell(self) -> None:
        """Add what was counted to what all workers of this model have counted."""
        abandoned = {str(Count.ABANDONED): self.reaper.abandoned}
        self._teller.tell({**self.engine.counters, **self.shards.tally.read(), **abandoned})

    def fault(self) -> None:
        """Begin nothing more, and leave."""
        self.shards.tally.add(Count.CRASHES, not self.faulted)
        self.faulted = True
        self.shards.stop_admitting()


def load_apart(settings: WorkerSettings) -> ResidentModel:
    """`load_resident` in a thread that ends with it. Raises CannotStart, DeviceFault.

    Every thread that computes keeps a team of OpenMP threads for as long as it lives. With more
    of them than cores, libgomp's teams sleep where they would spin, and a step of the engine's
    takes up to twice as long: so the engine's team must be the only one.
    """
    with ThreadPoolExecutor(1) as passing:
        try:
            return passing.submit(load_resident, settings).result()
        except ValueError as error:  # a CheckpointError is one
            raise CannotStart(str(error)) from error
        except RuntimeError as error:  # torch's own, also that memory is out
            raise DeviceFault(str(error).partition("\n")[0]) from error


def step_times(engine: Engine) -> dict[str, int]:
    """Median and 99th percentile of the last full steps, in microseconds; empty before two."""
    seconds = list(engine.full_steps_s)
    if len(seconds) < 2:
        return {}
    percentiles = statistics.quantiles(seconds, n=100)
    return {"step_p50_us": int(1e6 * percentiles[49]), "step_p99_us": int(1e6 * percentiles[98])}
