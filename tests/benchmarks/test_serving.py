"""What the serving benchmark decides without running anything."""

import asyncio
import time

import pytest

from benchmarks.serving.drive import open_loop
from benchmarks.serving.load import MOST_IMAGES, Arrival, Job, arrivals, jobs
from benchmarks.serving.statistics import Served, alone_s, interval, percentile, summary

ALONE = {("ddim", 20): {1: 1.0, 4: 4.0}, ("ddpm", 250): {1: 10.0, 4: 10.0}}


def test_the_same_seed_is_the_same_load() -> None:
    assert jobs(50, 1) == jobs(50, 1) != jobs(50, 2)
    assert arrivals(jobs(50, 1), 2.0, 3) == arrivals(jobs(50, 1), 2.0, 3)


def test_the_mix_is_what_is_said_of_it() -> None:
    mix = jobs(20_000, 1)
    assert {job.n for job in mix} == set(range(1, MOST_IMAGES + 1))
    assert sum(job.n for job in mix) / len(mix) == pytest.approx(4.0, abs=0.1)
    assert sum(job.steps == 250 for job in mix) / len(mix) == pytest.approx(0.10, abs=0.01)
    assert not any(job.steps == 250 for job in jobs(1000, 1, long_chains=False))


def test_arrivals_are_poisson() -> None:
    coming = arrivals(jobs(20_000, 1), 4.0, 1)
    gaps = [b.at_s - a.at_s for a, b in zip(coming, coming[1:], strict=False)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.25, rel=0.03)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.06), "as an exponential's"


def test_percentiles_lie_between_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([0.0, 10.0], 95) == pytest.approx(9.5)
    assert percentile([7.0], 99) == 7.0


def test_an_interval_holds_its_percentile_and_narrows_with_more_values() -> None:
    few, many = [float(i % 10) for i in range(20)], [float(i % 10) for i in range(2000)]
    for values in (few, many):
        low, high = interval(values, 50)
        assert low <= percentile(values, 50) <= high
    assert (
        interval(many, 50)[1] - interval(many, 50)[0] < interval(few, 50)[1] - interval(few, 50)[0]
    )


def test_between_measured_sizes_latency_alone_is_linear() -> None:
    assert [alone_s(ALONE, Job(n, "ddim", 20, 0)) for n in (1, 2, 4)] == [1.0, 2.0, 4.0]


def test_slowdown_is_over_the_job_s_own_latency_alone() -> None:
    short = Served(Job(1, "ddim", 20, 0), at_s=0.0, latency_s=3.0, first_step_s=0.5)
    long = Served(Job(1, "ddpm", 250, 0), at_s=1.0, latency_s=20.0)
    found = summary([short, long], ALONE)
    assert found["slowdown_p50"] == 2.5
    assert found["p50_s"] == 11.5
    assert found["first_step_p50_s"] == 0.5
    assert found["images_per_s"] == pytest.approx(2 / 21, abs=1e-4)


def test_the_load_does_not_wait_for_answers() -> None:
    """Ten arrivals, each served in longer than all of them need to come: at work all at once."""
    at_work = most = 0
    all_there = asyncio.Event()

    async def draw(job: Job) -> float:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 10:
            all_there.set()
        await all_there.wait()
        return time.time()

    coming = [Arrival(0.001 * i, Job(1, "ddim", 20, i)) for i in range(10)]
    served = asyncio.run(asyncio.wait_for(open_loop(draw, coming), timeout=30))
    assert most == 10
    assert [each.job.seed for each in served] == list(range(10))
