"""From latencies to what is reported: percentiles, slowdowns, intervals."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.load import Job

RESAMPLES = 1000
Alone = Mapping[tuple[str, int], Mapping[int, float]]  # (sampler, steps) -> n -> seconds


@dataclass(frozen=True)
class Served:
    """One job's fate. Times in seconds; `first_step_s` from its arrival, None where unknown."""

    job: Job
    at_s: float
    latency_s: float
    first_step_s: float | None = None


def percentile(values: Sequence[float], p: float) -> float:
    """p in [0, 100], linear between the two nearest."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * p / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def interval(values: Sequence[float], p: float, seed: int = 0) -> tuple[float, float]:
    """A 95 % bootstrap interval of a percentile."""
    dice = random.Random(seed)
    found = [percentile(dice.choices(values, k=len(values)), p) for _ in range(RESAMPLES)]
    return percentile(found, 2.5), percentile(found, 97.5)


def alone_s(alone: Alone, job: Job) -> float:
    """How long the job takes on an idle system, linear between the sizes that were measured."""
    known = alone[job.sampler, job.steps]
    low = max(n for n in known if n <= job.n)
    high = min(n for n in known if n >= job.n)
    if low == high:
        return known[low]
    return known[low] + (job.n - low) / (high - low) * (known[high] - known[low])


def summary(served: Sequence[Served], alone: Alone) -> dict[str, Any]:
    """What one system did under one load."""
    latencies = [each.latency_s for each in served]
    slowdowns = [each.latency_s / alone_s(alone, each.job) for each in served]
    first_steps = [each.first_step_s for each in served if each.first_step_s is not None]
    span_s = max(each.at_s + each.latency_s for each in served) - min(s.at_s for s in served)
    found: dict[str, Any] = {"images_per_s": sum(each.job.n for each in served) / span_s}
    for name, values in (("", latencies), ("slowdown_", slowdowns)):
        unit = "" if name else "_s"
        for p in (50, 95, 99):
            found[f"{name}p{p}{unit}"] = percentile(values, p)
            found[f"{name}p{p}{unit}_95ci"] = list(interval(values, p))
    found["first_step_p50_s"] = percentile(first_steps, 50) if first_steps else None
    return rounded(found)


def rounded(found: dict[str, Any]) -> dict[str, Any]:
    """Four digits behind the point are enough for anyone."""
    return {
        key: [round(v, 4) for v in value]
        if isinstance(value, list)
        else round(value, 4)
        if isinstance(value, float)
        else value
        for key, value in found.items()
    }
