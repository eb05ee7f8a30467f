"""Open-loop load: who comes when and wants what, from a seed and before anything runs."""

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

    Without `long_chains` those are left out, for a quick look.
    """
    kinds = len(SAMPLERS) if long_chains else len(SAMPLERS) - 1
    dice = random.Random(seed)
    sizes = range(1, MOST_IMAGES + 1)
    weights = [(1 - SHORTER) ** n for n in sizes]
    return [
        Job(n, sampler, steps, seed=dice.randrange(2**31))
        for n, (sampler, steps) in zip(
            dice.choices(sizes, weights, k=count),
            dice.choices(SAMPLERS[:kinds], SHARES[:kinds], k=count),
            strict=True,
        )
    ]


def arrivals(mix: list[Job], rate_per_s: float, seed: int) -> list[Arrival]:
    """A Poisson process; it asks nobody whether they are ready."""
    dice = random.Random(seed)
    at_s, coming = 0.0, []
    for job in mix:
        at_s += dice.expovariate(rate_per_s)
        coming.append(Arrival(at_s, job))
    return coming


def image_steps(mix: list[Job]) -> int:
    """Evaluations of the network for one image each."""
    return sum(job.n * job.steps for job in mix)
