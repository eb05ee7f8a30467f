"""What was found, put into the document that is printed, kept and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.serving.statistics import Alone, Served, alone_s

HEADLINE = ("images_per_s", "p50_s", "p95_s", "slowdown_p95", "first_step_p50_s", "occupancy")
COMPARED = ("p50_s", "p95_s", "slowdown_p50", "slowdown_p95")
REPORTED_LOAD = 0.8


def document(found: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with the systems' figures at 80 % in front, and ratios at each load.

    Complete or not: what is not measured yet is missing.
    """
    loads = [
        {**point, "ratios": ratios(point["systems"])}
        for point in found.get("loads", [])
        if point["systems"]
    ]
    reported = next((point for point in loads if point["load"] == REPORTED_LOAD), None)
    systems = reported["systems"] if reported else {}
    return {
        "quick": found["quick"],
        "systems": {name: {key: of[key] for key in HEADLINE} for name, of in systems.items()},
        "saturation_efficiency": found.get("saturation_efficiency"),
        "http": found.get("http"),
        "ratios": reported["ratios"] if reported else {},
        **{key: value for key, value in found.items() if key != "loads"},
        "loads": loads,
    }


def ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Ours over the static-batching peer's: below 1 is better."""
    ours, peer = systems.get("denoised"), systems.get("static_batching")
    if ours is None or peer is None:
        return {}
    return {key: round(ours[key] / peer[key], 4) for key in COMPARED}


def occupancy(
    before: tuple[int, int] | None, after: tuple[int, int] | None, width: int
) -> float | None:
    """Rows in a forward over those it has room for, of (rows, forwards) counted twice."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return round((after[0] - before[0]) / (after[1] - before[1]) / width, 4)


def job_lines(
    name: str, load: float, served: Sequence[Served], alone: Alone
) -> list[dict[str, Any]]:
    """One line a job, for whoever wants to count again."""
    return [
        {"system": name, "load": load, **asdict(each), "alone_s": alone_s(alone, each.job)}
        for each in served
    ]
