"""Clients: an open loop that never waits for an answer before it asks again, and a closed burst."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from benchmarks.serving.load import Arrival, Job
from benchmarks.serving.statistics import Served

Draw = Callable[[Job], Awaitable[float | None]]  # -> time.time() of the first step, where known
ALONE_SIZES = (1, 4, 8, 16)
LONG_STEPS = 100  # so many are their own mean


async def open_loop(draw: Draw, coming: Sequence[Arrival]) -> list[Served]:
    """Every arrival at its time, whatever became of the others."""
    started = time.perf_counter()
    return list(await asyncio.gather(*(_visit(draw, each, started) for each in coming)))


async def burst(draw: Draw, mix: Iterable[Job]) -> float:
    """All at once; the seconds until the last is done."""
    started = time.perf_counter()
    await asyncio.gather(*(draw(job) for job in mix))
    return time.perf_counter() - started


async def latencies_alone(
    draw: Draw, mix: Iterable[Job], *, repeats: int
) -> dict[tuple[str, int], dict[int, float]]:
    """Medians on an idle system, for the samplers of the mix and a few sizes."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for sampler, steps in sorted({(job.sampler, job.steps) for job in mix}):
        found[sampler, steps] = {}
        for n in ALONE_SIZES:
            times = [
                await burst(draw, [Job(n, sampler, steps, seed)])
                for seed in range(repeats if steps < LONG_STEPS else 1)
            ]
            found[sampler, steps][n] = statistics.median(times)
    return found


async def _visit(draw: Draw, coming: Arrival, started: float) -> Served:
    await asyncio.sleep(max(0.0, started + coming.at_s - time.perf_counter()))
    came, began = time.time(), time.perf_counter()
    first_step = await draw(coming.job)
    return Served(
        job=coming.job,
        at_s=began - started,
        latency_s=time.perf_counter() - began,
        first_step_s=None if first_step is None else first_step - came,
    )
