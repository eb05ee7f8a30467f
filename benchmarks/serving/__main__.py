"""denoised under open-loop load beside a static-batching server and one-at-a-time RQ.

    python -m benchmarks.serving [--quick] [--out FILE] [--plot PNG] [--model FOLDER]

The same network, precision, threads and arrivals; one system at a time, nothing beside it. Real
HTTP, real Redis, real processes. Progress on stderr; the last line of stdout is one JSON document.
Latency ends when the client has every image; slowdown is latency over that of the same job on the
same system with nothing else to do. A full run takes most of an hour.
"""

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rq.suspension import resume, suspend

from benchmarks.sampling import cpu_features
from benchmarks.serving.drive import burst, latencies_alone, open_loop
from benchmarks.serving.load import arrivals, jobs
from benchmarks.serving.plot import plot
from benchmarks.serving.saturation import saturation
from benchmarks.serving.statistics import Alone, summary
from benchmarks.serving.systems import (
    Denoised,
    Setting,
    System,
    denoised,
    one_at_a_time,
    static_batching,
)

log = logging.getLogger("benchmarks.serving")
CHUNK = 16  # rows of a forward, in all systems
SEED = 20
REPORTED_LOAD = 0.8
MOST_LOAD = {"one_at_a_time": 0.8}  # beyond its capacity latency says how long one has waited
SYSTEMS: dict[str, Callable[[Setting], AbstractAsyncContextManager[System]]] = {
    "static_batching": static_batching,  # first: its capacity is the scale of all loads
    "denoised": denoised,
    "one_at_a_time": one_at_a_time,
}


@dataclass(frozen=True)
class Course:
    """How long everything is measured."""

    jobs_a_point: int
    capacity_jobs: int
    loads: tuple[float, ...]
    long_chains: bool
    repeats: int
    saturation: dict[str, Any]
    http_s: float


FULL = Course(300, 100, (0.5, 0.8, 0.95), True, 3, {"images": 640, "rounds": 3, "raw_s": 8}, 8)
QUICK = Course(6, 6, (0.8,), False, 1, {"images": 48, "rounds": 1, "raw_s": 1}, 1)


@dataclass
class Benchmark:
    """One run, and what it has found so far."""

    setting: Setting
    course: Course
    out: Path | None
    quick: bool = False
    peer_capacity: float = 0.0  # jobs/s
    found: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> None:
        """denoised first tells its precision; then each system in turn."""
        async with denoised(self.setting) as system:
            self.setting = replace(self.setting, precision=system.precision())
            await self._alone_figures(system)
        self.found["loads"] = [{"load": load, "systems": {}} for load in self.course.loads]
        for name, start in SYSTEMS.items():
            log.info("%s starts", name)
            async with start(self.setting) as system:
                await self._measure(name, system)

    async def _measure(self, name: str, system: System) -> None:
        mix = jobs(self.course.jobs_a_point, SEED, long_chains=self.course.long_chains)
        alone = await latencies_alone(system.draw, mix, repeats=self.course.repeats)
        log.info("%s alone: %s", name, alone)
        if not self.peer_capacity:
            await self._measure_capacity(system)
        for point in self.found["loads"]:
            if point["load"] > MOST_LOAD.get(name, 1.0):
                continue
            rate = point["load"] * self.peer_capacity
            point["arrivals_per_s"] = round(rate, 4)
            point["systems"][name] = await self._point(system, rate, alone)
            log.info("%s at %.0f %%: %s", name, 100 * point["load"], point["systems"][name])
            self.keep()

    async def _measure_capacity(self, system: System) -> None:
        """Jobs/s of the mix when all come at once: its batches are as full as they get."""
        mix = jobs(self.course.capacity_jobs, SEED + 1, long_chains=self.course.long_chains)
        self.peer_capacity = len(mix) / await burst(system.draw, mix)
        self.found["peer_capacity_jobs_per_s"] = round(self.peer_capacity, 4)
        log.info("the peer's capacity: %.3f jobs/s", self.peer_capacity)

    async def _point(self, system: System, rate: float, alone: Alone) -> dict[str, Any]:
        """The same jobs at the same moments for every system."""
        mix = jobs(self.course.jobs_a_point, SEED, long_chains=self.course.long_chains)
        before = await system.work_done()
        served = await open_loop(system.draw, arrivals(mix, rate, SEED))
        after = await system.work_done()
        return summary(served, alone) | {"occupancy": _occupancy(before, after)}

    async def _alone_figures(self, system: Denoised) -> None:
        """What needs no peer: saturation, and HTTP with a worker that claims nothing."""
        self.found |= await saturation(system, self.setting.model, **self.course.saturation)
        suspend(system.redis)
        self.found["http"] = await asyncio.to_thread(_http_rates, system.url, self.course.http_s)
        system.redis.flushdb()  # those jobs are not to be drawn
        resume(system.redis)
        log.info("http: %s", self.found["http"])
        self.keep()

    def report(self) -> dict[str, Any]:
        """The document, with what is there."""
        loads = self.found.get("loads", [])
        for point in loads:
            point["ratios"] = _ratios(point["systems"])
        reported: dict[str, Any] = next(
            (point for point in loads if point["load"] == REPORTED_LOAD), {"systems": {}}
        )
        return {
            "quick": self.quick,
            "systems": {name: _headline(found) for name, found in reported["systems"].items()},
            "ratios": _ratios(reported["systems"]),
            "cpu_features": cpu_features(),
            "cores": os.cpu_count(),
            "threads": self.setting.threads,
            "model": self.setting.model.name,
            "precision": self.setting.precision,
            "jobs_a_point": self.course.jobs_a_point,
            **self.found,
        }

    def keep(self) -> None:
        """Write what is there: an hour must not be lost to its last minute."""
        if self.out:
            self.out.write_text(json.dumps(self.report(), indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/fashion-mnist"))
    parser.add_argument("--quick", action="store_true", help="says that it runs, claims nothing")
    parser.add_argument("--loads", type=float, nargs="+", help="of the peer's capacity")
    parser.add_argument("--out", type=Path, help="write the document here as well, as it grows")
    parser.add_argument("--plot", type=Path, help="draw the latency-load curve into this PNG")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="denoised-") as folder:
        setting = Setting(args.model, "", os.cpu_count() or 1, Path(folder))
        course = QUICK if args.quick else FULL
        course = replace(course, loads=tuple(args.loads or course.loads))
        benchmark = Benchmark(setting, course, args.out, quick=args.quick)
        asyncio.run(benchmark.run())
    report = benchmark.report()
    if args.plot:
        plot(report, args.plot)
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def _headline(found: dict[str, Any]) -> dict[str, Any]:
    keys = ("images_per_s", "p50_s", "p95_s", "slowdown_p95", "first_step_p50_s", "occupancy")
    return {key: found[key] for key in keys}


def _ratios(systems: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Ours over the static-batching peer's: below 1 is better."""
    ours, peer = systems.get("denoised"), systems.get("static_batching")
    if ours is None or peer is None:
        return {}
    return {key: round(ours[key] / peer[key], 4) for key in ("p50_s", "p95_s", "slowdown_p95")}


def _occupancy(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """Rows in a forward over those it has room for."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return round((after[0] - before[0]) / (after[1] - before[1]) / CHUNK, 4)


def _http_rates(url: str, seconds: float) -> dict[str, float]:
    host, port = url.removeprefix("http://").split(":")
    command = [sys.executable, "-m", "benchmarks.serving.http_rates", host, port, str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
