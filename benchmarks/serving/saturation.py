"""How much of the raw network a full service gets through, and how even its steps are."""

import asyncio
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.serving.load import Job
from benchmarks.serving.systems import BEAT_S, Denoised

log = logging.getLogger("benchmarks.serving")


async def saturation(
    system: Denoised, model: Path, *, images: int, rounds: int, raw_s: float
) -> dict[str, Any]:
    """Image-steps/s of two large jobs over those of the raw forward, in turns.

    From the first step of the first to the end of the last, so with the last, partly filled steps.
    """
    ratios, served, raw = [], [], []
    for _ in range(rounds):
        raw.append(float(await _output("benchmarks.serving.raw_forward", str(model), str(raw_s))))
        served.append(await _served(system, images))
        ratios.append(served[-1] / raw[-1])
        log.info("saturated %.0f, raw %.0f image-steps/s", served[-1], raw[-1])
    await asyncio.sleep(BEAT_S)
    counters = system.counters()
    return {
        "saturation_efficiency": round(statistics.median(ratios), 4),
        "saturation": {
            "image_steps_per_s": round(statistics.median(served), 1),
            "raw_image_steps_per_s": round(statistics.median(raw), 1),
            "step_p50_ms": counters.get("step_p50_us", 0) / 1000,
            "step_p99_ms": counters.get("step_p99_us", 0) / 1000,
        },
    }


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
