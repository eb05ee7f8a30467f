"""Whatever happens around an image, its pixels are those it has alone.

Random schedules of jobs that join, are canceled, and lose their engine half way, beside hostile
neighbours. FUZZ=1000 runs more of them and `compiled` as well: `make nightly`.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import load_checkpoint
from models.plan import Plan, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.schedule import linear_schedule
from worker.engine import Engine
from worker.examine import examine, sampling_net
from worker.fingerprint import Mode, Precision, resolve
from worker.row import Dropped, Pixels, Start, Ticket
from worker.runner import TorchRunner

SCHEDULES = int(os.environ.get("FUZZ", "50"))
NIGHTLY = SCHEDULES > 50
PLANS = [
    ddim_plan(linear_schedule(), 4),
    ddim_plan(linear_schedule(), 7, eta=0.5),
    ddpm_plan(linear_schedule(), 10),
    ddpm_plan(linear_schedule(), 12),
    dpmpp_2m_plan(linear_schedule(), 6),
]
EVENTS = 40
pytestmark = pytest.mark.filterwarnings(  # what torch.compile imports of torch itself
    "ignore:.torch.jit:DeprecationWarning"
)


@dataclass
class Bench:
    """A network under some numerics, and what each of its images is alone."""

    folder: Path
    data_dir: Path
    precision: Precision
    mode: Mode = "eager"

    def __post_init__(self) -> None:
        checkpoint = load_checkpoint(self.folder)
        numerics = resolve(
            device="cpu", threads=1, pixels=64, precision=self.precision, mode=self.mode
        )
        self.sizes = examine(checkpoint, numerics, self.data_dir).chunks
        self.net = sampling_net(checkpoint, numerics)
        self.alone = cache(self._alone)

    def runner(self) -> TorchRunner:
        runner = TorchRunner(self.net, device="cpu", slots=24, sizes=self.sizes)
        runner.step_s = {size: 4.0 + size for size in self.sizes}  # sometimes a few rows wait
        return runner

    def _alone(self, plan: Plan, seed: int, index: int, midway: bool) -> Pixels:
        engine = Engine(self.runner(), on_fault=_unexpected)
        job = Job(plan, seed, (index,), midway)
        engine.submit(job.ticket())
        for _ in range(plan.steps):
            engine.step()
        return job.images[index]


def _unexpected() -> None:
    raise AssertionError("the engine faulted")


@dataclass
class Job:
    """Asked for, and what has come of it; `ticket` is for what is missing."""

    plan: Plan
    seed: int
    indices: tuple[int, ...]
    midway: bool = False  # starts from given states, with another's noise
    hostile: bool = False
    canceled: bool = False
    images: dict[int, Pixels] = field(default_factory=dict)
    given: Ticket | None = None

    def ticket(self) -> Ticket:
        self.given = Ticket(
            job_id=f"{id(self)}",
            tenant=str(self.seed % 3),
            urgency=self.seed % 3,
            plan=self.plan,
            steps=self.plan.steps,
            seed=self.seed,
            indices=tuple(i for i in self.indices if i not in self.images),
            deliver=self._deliver,
            starts=self._starts() if self.midway else {},
        )
        return self.given

    @property
    def open(self) -> bool:
        return not self.canceled and len(self.images) < len(self.indices)

    def _starts(self) -> dict[int, Start]:
        x_t = torch.linspace(-1, 1, 64).reshape(1, 8, 8)
        return {i: Start(x_t + i / 50, noise_index=i % 3) for i in self.indices}

    def _deliver(self, index: int, pixels: Pixels) -> None:
        assert index not in self.images, "drawn twice"
        self.images[index] = pixels


class Story:
    """One random schedule, to its end."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.dice = bench, random.Random(seed)
        self.jobs: list[Job] = []
        self.told: Counter[str] = Counter()
        self._start()

    def run(self) -> None:
        for _ in range(EVENTS):
            event = self.dice.choices(
                [self.join, self.cancel, self.crash, self.step], weights=[4, 1, 0.5, 10]
            )[0]
            self.told[event.__name__] += 1
            event()
        while any(job.open for job in self.jobs):
            self.step()

    def join(self) -> None:
        start = self.dice.randrange(50)
        count = self.dice.choice([1, 1, 2, 3, 8, 20])
        job = Job(
            plan=self.dice.choice(PLANS),
            seed=self.dice.randrange(6),
            indices=tuple(range(start, start + count)),
            midway=self.dice.random() < 0.3,
            hostile=self.dice.random() < 0.2,
        )
        self.jobs.append(job)
        self.engine.submit(job.ticket())

    def cancel(self) -> None:
        open_jobs = [job for job in self.jobs if job.open]
        if open_jobs:
            job = self.dice.choice(open_jobs)
            job.canceled = True
            assert job.given is not None
            job.given.drop(Dropped("canceled"))

    def crash(self) -> None:
        """The engine is gone with all its states; what is unfinished starts again on a new one."""
        self._start()
        for job in self.jobs:
            if job.open:
                self.engine.submit(job.ticket())

    def step(self) -> None:
        self._spoil()
        self.engine.step()

    def _start(self) -> None:
        self.runner = self.bench.runner()
        self.engine = Engine(self.runner, on_fault=_unexpected)

    def _spoil(self) -> None:
        """What hostile jobs hold is no number, or too large a one."""
        tickets = {job.given for job in self.jobs if job.hostile}
        for row in self.engine.under_way:
            if row.ticket in tickets:
                self.runner.state(row).fill_(self.dice.choice([float("nan"), 1e30, -1e30]))


@pytest.fixture(scope="module", params=["float32", "bfloat16", "compiled"])
def bench(request: pytest.FixtureRequest, tiny_model: Path, data_dir: Path) -> Bench:
    if request.param == "compiled":
        if not NIGHTLY:
            pytest.skip("compiling takes a minute: `make nightly`")
        return Bench(tiny_model, data_dir, "bfloat16", "compiled")
    return Bench(tiny_model, data_dir, request.param)


@pytest.mark.parametrize("part", range(10))
def test_every_image_is_the_one_it_is_alone(bench: Bench, part: int) -> None:
    torch.manual_seed(0)
    told: Counter[str] = Counter()
    for seed in range(part, SCHEDULES, 10):
        story = Story(bench, seed)
        story.run()
        told += story.told
        for job in story.jobs:
            for index, pixels in job.images.items():
                if not job.hostile:
                    expected = bench.alone(job.plan, job.seed, index, job.midway)
                    assert np.array_equal(pixels, expected), f"schedule {seed}, image {index}"
    assert all(told[event] for event in ("join", "cancel", "crash", "step"))
