"""What is broken when, and which jobs are asked for: pure, all of it drawn from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

SEEDS, LARGE_SEED = 4, 99  # few, so that checking each image costs less than drawing it did
SAMPLERS: tuple[dict[str, Any], ...] = (
    {"name": "ddim", "steps": 20},
    {"name": "ddpm", "steps": 30},
    {"name": "dpmpp-2m", "steps": 10},
)
LONG: dict[str, Any] = {"name": "ddpm", "steps": 200}  # still running when something dies
SIZES = (1, 1, 2, 3, 4, 8, 16, 33, 40)
LARGE = 150  # images: more shards than are outstanding at once


class Blow(StrEnum):
    """What can be done to the service."""

    KILL_WORKER = "kill worker"
    TERMINATE_WORKER = "terminate worker"
    FREEZE_WORKER = "freeze worker"
    KILL_API = "kill api"
    FREEZE_API = "freeze api"
    KILL_REDIS = "kill redis"
    FREEZE_REDIS = "freeze redis"
    FILL_REDIS = "fill redis"
    CUT_REDIS = "cut redis"
    DROP_REDIS = "drop redis"
    DELAY_REDIS = "delay redis"
    CUT_API = "cut api"
    DELAY_API = "delay api"


# How long each may last, in seconds; a frozen worker may stay away longer than its leases.
LASTS: dict[Blow, tuple[float, float]] = {
    Blow.KILL_WORKER: (0.0, 0.0),
    Blow.TERMINATE_WORKER: (0.0, 0.0),
    Blow.FREEZE_WORKER: (1.0, 14.0),
    Blow.KILL_API: (0.0, 0.0),
    Blow.FREEZE_API: (0.2, 2.0),
    Blow.KILL_REDIS: (0.2, 3.0),
    Blow.FREEZE_REDIS: (0.2, 2.0),
    Blow.FILL_REDIS: (0.5, 3.0),
    Blow.CUT_REDIS: (0.0, 0.0),
    Blow.DROP_REDIS: (0.2, 2.0),
    Blow.DELAY_REDIS: (0.5, 2.0),
    Blow.CUT_API: (0.0, 0.0),
    Blow.DELAY_API: (0.5, 2.0),
}


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow: after which job it falls, on which worker, for how long."""

    after_job: int
    blow: Blow
    lasts_s: float
    worker: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job to ask for; `cancel_after_s` where its client changes its mind.

    Under an Idempotency-Key (`keyed`) it may be asked for any number of times, and is made once.
    """

    number: int
    body: dict[str, Any]
    cancel_after_s: float | None = None
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    workers: int
    jobs: Sequence[Wanted] = field(default_factory=list)
    strikes: Sequence[Strike] = field(default_factory=list)
    quiet_kills: int = 0  # of workers, once the storm is over, to see how long a recovery takes


def draw(
    seed: int,
    *,
    jobs: int,
    strikes: int,
    workers: int,
    longest_s: float = 60.0,
    quiet_kills: int = 0,
) -> Plan:
    """The run of a seed: every kind of blow falls before any falls twice as often."""
    random = Random(seed)
    blows: list[Blow] = []
    while len(blows) < strikes:
        blows += random.sample(list(Blow), len(Blow))
    return Plan(
        seed=seed,
        workers=workers,
        quiet_kills=quiet_kills,
        jobs=[_job(random, number) for number in range(jobs)],
        strikes=[
            Strike(
                after_job=jobs * (k + 1) // (strikes + 1),
                blow=blow,
                lasts_s=min(longest_s, round(random.uniform(*LASTS[blow]), 2)),
                worker=random.randrange(workers),
            )
            for k, blow in enumerate(blows[:strikes])
        ],
    )


def _job(random: Random, number: int) -> Wanted:
    large = random.random() < 0.02
    body: dict[str, Any] = {
        "n": LARGE if large else random.choice(SIZES),
        "seed": LARGE_SEED if large else random.randrange(SEEDS),
        "sampler": random.choice(SAMPLERS),
        "priority": random.choice(("high", "normal", "normal", "low")),
        "ttl_s": 3600,
        "metadata": {"chaos": number},
    }
    if number % 10 == 0:
        body |= {"sampler": LONG, "n": 2}
    cancels = random.random() < 0.08
    cancel_after_s = round(random.uniform(0.0, 1.5), 2) if cancels else None
    return Wanted(number, body, cancel_after_s, keyed=random.random() < 0.5)
