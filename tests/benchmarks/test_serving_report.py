"""The serving benchmark's document, its cuts and its window of full steps; nothing is timed."""

import asyncio
from typing import Any

import pytest

from benchmarks.serving.drive import open_loop
from benchmarks.serving.load import Arrival, Job, arrivals, image_steps, jobs
from benchmarks.serving.report import document, job_lines, occupancy, ratios
from benchmarks.serving.saturation import full_rate
from benchmarks.serving.statistics import Served, summary
from benchmarks.serving.systems import Told

ALONE = {("ddim", 20): {1: 1.0, 16: 4.0}}
SYSTEMS = ("static_batching", "denoised", "one_at_a_time")


def figures(latency_s: float) -> dict[str, Any]:
    served = [Served(Job(1, "ddim", 20, k), at_s=k, latency_s=latency_s) for k in range(3)]
    found = summary(served, ALONE)
    return found | {"occupancy": None, "completed": 3, "overloaded": False}


def found(*systems: str) -> dict[str, Any]:
    points = [{"load": load, "systems": {n: figures(2.0) for n in systems}} for load in (0.5, 0.8)]
    return {"quick": True, "loads": points, "http": {"post_per_s": 1.0}, "cores": 2}


def test_the_document_has_the_agreed_keys() -> None:
    said = document(found(*SYSTEMS))
    assert list(said)[:4] == ["quick", "systems", "saturation_efficiency", "http"]
    assert said["quick"] is True
    assert set(said["systems"]) == set(SYSTEMS)
    for figures in said["systems"].values():
        assert set(figures) == {
            *("images_per_s", "p50_s", "p95_s", "slowdown_p95", "first_step_p50_s", "occupancy")
        }
    assert [point["load"] for point in said["loads"]] == [0.5, 0.8]
    assert all(point["ratios"]["slowdown_p95"] == 1.0 for point in said["loads"])


def test_what_is_not_measured_yet_is_missing() -> None:
    assert document({"quick": False})["systems"] == {}
    said = document(found("static_batching"))
    assert set(said["systems"]) == {"static_batching"}
    assert said["ratios"] == {}


def test_a_ratio_below_one_is_ours_being_faster() -> None:
    assert ratios({"denoised": figures(1.0), "static_batching": figures(4.0)})["p50_s"] == 0.25


def test_occupancy_is_rows_over_room() -> None:
    assert occupancy((160, 10), (160 + 80, 20), 16) == 0.5
    assert occupancy((0, 0), (0, 0), 16) is None
    assert occupancy(None, None, 16) is None


def test_a_line_says_what_a_job_took_and_would_have_taken_alone() -> None:
    served = Served(Job(6, "ddim", 20, 1), at_s=0.5, latency_s=4.0)
    [line] = job_lines("denoised", 0.8, [served], ALONE)
    assert line["latency_s"] / line["alone_s"] == 2.0
    assert line["job"]["n"] == 6


def told(*counted: tuple[float, int, int]) -> list[Told]:
    return [Told(at, {"steps": steps, "row_steps": rows}) for at, steps, rows in counted]


def test_only_full_steps_count_as_saturated() -> None:
    heard = told((0, 0, 0), (1, 10, 90), (2, 20, 250), (4, 60, 890), (5, 80, 1000))
    assert full_rate(heard, 16) == pytest.approx((890 - 90) / 3)


def test_the_longest_full_time_is_taken() -> None:
    heard = told((0, 0, 0), (1, 10, 160), (2, 15, 200), (3, 25, 360), (4, 45, 680))
    assert full_rate(heard, 16) == pytest.approx((680 - 200) / 2)


def test_a_service_that_was_never_full_is_not_saturated() -> None:
    assert full_rate(told((0, 0, 0), (1, 10, 90), (2, 20, 180)), 16) is None
    assert full_rate(told((0, 5, 80), (1, 5, 80)), 16) is None, "idle is not full"


@pytest.mark.parametrize("seed", [20, 21])
def test_every_draw_of_the_mix_is_the_same_work_in_the_same_time(seed: int) -> None:
    few, many = jobs(100, seed), jobs(300, seed + 5)
    assert image_steps(few) / 100 == pytest.approx(image_steps(many) / 300, rel=0.01)
    assert arrivals(many, 2.0, seed)[-1].at_s <= 150.0


def test_who_is_not_served_in_time_is_left_out() -> None:
    async def draw(job: Job) -> float | None:
        await asyncio.sleep(0 if job.n == 1 else 3600)
        return None

    coming = [Arrival(0.0, Job(n, "ddim", 20, 0)) for n in (1, 16, 1)]
    served = asyncio.run(open_loop(draw, coming, patience_s=0.2))
    assert [each.job.n for each in served] == [1, 1]


def test_a_failed_job_fails_the_run() -> None:
    async def draw(job: Job) -> float | None:
        raise RuntimeError(f"{job.n} images")

    with pytest.raises(RuntimeError, match="16 images"):
        asyncio.run(open_loop(draw, [Arrival(0.0, Job(16, "ddim", 20, 0))]))
