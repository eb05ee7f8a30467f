"""How much of the raw network a full service gets through, and how even its steps are."""

import asyncio
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.load import Job
from benchmarks.serving.systems import BEAT_S, Denoised, Told

log = logging.getLogger("benchmarks.serving")
LOOK_EVERY_S = 0.2  # a worker tells its counters every second


async def saturation(
    system: Denoised, model: Path, *, width: int, images: int, rounds: int, raw_s: float
) -> dict[str, Any]:
    """Image-steps/s of two large jobs while every step is full, over those of the raw forward.

    In turns, because the machine's speed drifts. `served_image_steps_per_s` is from the first step
    of the first job to the end of the last as its client sees it, with the partly filled steps.
    """
    raw, full, served = [], [], []
    for _ in range(rounds):
        raw.append(float(await _output("benchmarks.serving.raw_forward", str(model), str(raw_s))))
        told = asyncio.create_task(_listen(system))
        served.append(await _served(system, images))
        told.cancel()
        full.append(full_rate(await told, width))
        log.info("full %s, served %.0f, raw %.0f image-steps/s", full[-1], served[-1], raw[-1])
    ratios = [mine / theirs for mine, theirs in zip(full, raw, strict=True) if mine is not None]
    await asyncio.sleep(BEAT_S)
    counters = system.told().counters
    return {
        "saturation_efficiency": round(statistics.median(ratios), 4) if ratios else None,
        "saturation": {
            "efficiency_by_round": [round(ratio, 4) for ratio in ratios],
            "full_image_steps_per_s": [None if rate is None else round(rate, 1) for rate in full],
            "raw_image_steps_per_s": [round(rate, 1) for rate in raw],
            "served_image_steps_per_s": [round(rate, 1) for rate in served],
            "step_p50_ms": counters.get("step_p50_us", 0) / 1000,
            "step_p99_ms": counters.get("step_p99_us", 0) / 1000,
        },
    }


def full_rate(told: Sequence[Told], width: int) -> float | None:
    """Image-steps/s over the longest time in which every step was `width` rows; None without one.

    `told` in the order of time.
    """
    best, start = None, 0
    for end in range(1, len(told)):
        rows = told[end].row_steps - told[end - 1].row_steps
        if rows == 0 or rows != width * (told[end].steps - told[end - 1].steps):
            start = end
        elif best is None or told[end].at_s - told[start].at_s > best[1].at_s - best[0].at_s:
            best = told[start], told[end]
    if best is None:
        return None
    first, last = best
    return (last.row_steps - first.row_steps) / (last.at_s - first.at_s)


async def _listen(system: Denoised) -> list[Told]:
    """What the worker tells, once each, until cancelled."""
    heard = [system.told()]
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if (told := system.told()).at_s > heard[-1].at_s:
                heard.append(told)
    except asyncio.CancelledError:
        return heard


async def _served(system: Denoised, images: int) -> float:
    jobs = [Job(images // 2, "ddim", 20, seed) for seed in (1, 2)]
    first_steps = await asyncio.gather(*(system.draw_only(job) for job in jobs))
    return sum(job.n * job.steps for job in jobs) / (time.time() - min(first_steps))


async def _output(*module_and_arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module_and_arguments, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module_and_arguments[0]} left with {process.returncode}")
    return output.decode()
