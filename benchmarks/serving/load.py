"""Open-loop load: who comes when and wants what, from a seed and before anything runs.

What differs between two draws is left out on purpose: a tenth of the jobs is more than half of the
work, so with freely drawn jobs 80 % of a capacity measured on one draw can be 95 % on another.
"""

import random
from dataclasses import dataclass

MOST_IMAGES = 16
SHORTER = 0.235  # chance to stop at each further image: a mean of 4.0 images
SAMPLERS = (("ddim", 20), ("ddim", 50), ("ddpm", 250))
SHARES = (0.45, 0.45, 0.10)


@dataclass(frozen=True)
class Job:
    """n images of one sampler and seed."""

    n: int
    sampler: str
    steps: int
    seed: int


@dataclass(frozen=True)
class Arrival:
    """A job, and when it comes, in seconds from the start."""

    at_s: float
    job: Job


def jobs(count: int, seed: int, *, long_chains: bool = True) -> list[Job]:
    """1 to 16 images, small jobs more often: 4 in the mean; a tenth of them 250 steps long.

    Shares are exact up to rounding, in every size; the seed decides the order.
    Without `long_chains` those are left out, for a quick look.
    """
    kinds = len(SAMPLERS) if long_chains else len(SAMPLERS) - 1
    dice = random.Random(seed)
    mix = [
        Job(n, sampler, steps, seed=dice.randrange(2**31))
        for (sampler, steps), share in zip(
            SAMPLERS[:kinds], _parts(count, SHARES[:kinds]), strict=True
        )
        for n in _sizes(share)
    ]
    dice.shuffle(mix)
    return mix


def arrivals(mix: list[Job], rate_per_s: float, seed: int) -> list[Arrival]:
    """A Poisson process of which is known that all came in len(mix) / rate_per_s seconds.

    Then each came at any moment alike; and the load is what it is called, not 7 % more by chance.
    """
    dice = random.Random(seed)
    moments = sorted(dice.uniform(0.0, len(mix) / rate_per_s) for _ in mix)
    return [Arrival(at_s, job) for at_s, job in zip(moments, mix, strict=True)]


def image_steps(mix: list[Job]) -> int:
    """Evaluations of the network for one image each."""
    return sum(job.n * job.steps for job in mix)


def _parts(count: int, shares: tuple[float, ...]) -> list[int]:
    """`count` in whole parts as near to the shares as their running sum allows."""
    ends = [round(count * sum(shares[: k + 1]) / sum(shares)) for k in range(len(shares))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _sizes(count: int) -> list[int]:
    """`count` sizes in the shares of a truncated geometric distribution."""
    weights = [(1 - SHORTER) ** n for n in range(1, MOST_IMAGES + 1)]
    repeats = _parts(count, tuple(weights))
    return [n for n, times in enumerate(repeats, start=1) for _ in range(times)]
