"""denoised under open-loop load beside a static-batching server and one-at-a-time RQ.

    python -m benchmarks.serving [--quick] [--loads 0.5 0.8] [--systems static_batching denoised]
                                 [--out FILE] [--plot PNG] [--jobs FILE]

The same network, precision, threads and arrivals; one system at a time, nothing beside it. Real
HTTP, real Redis, real processes. Progress on stderr; the last line of stdout is one JSON document.
Latency ends when the client has every image; slowdown is latency over that of the same job on the
same system with nothing else to do. A full run takes an hour and a quarter on two cores.
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
from benchmarks.serving.load import Job, arrivals, image_steps, jobs
from benchmarks.serving.plot import plot
from benchmarks.serving.report import document, job_lines, occupancy
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
from launch.supervisor import leave_on_signals

log = logging.getLogger("benchmarks.serving")
CHUNK = 16  # rows of a forward, in all systems
SEED = 20
MOST_SPANS = 3  # of the arrivals: a system that needs longer is overloaded, and cut
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


FULL = Course(300, 100, (0.5, 0.8, 0.95), True, 3, {"images": 320, "rounds": 7, "raw_s": 8}, 8)
QUICK = Course(8, 6, (0.8,), False, 1, {"images": 64, "rounds": 1, "raw_s": 1}, 1)


@dataclass
class Benchmark:
    """One run, and what it has found so far."""

    setting: Setting
    course: Course
    systems: tuple[str, ...] = tuple(SYSTEMS)
    quick: bool = False
    out: Path | None = None
    jobs: Path | None = None
    peer_capacity: float = 0.0  # jobs/s
    found: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)  # one a job

    async def run(self) -> None:
        """denoised first tells its precision; then each system in turn."""
        async with denoised(self.setting) as system:
            self._meet(system)
            await self._alone_figures(system)
        self.found["loads"] = [{"load": load, "systems": {}} for load in self.course.loads]
        for name in self.systems:
            log.info("%s starts", name)
            async with SYSTEMS[name](self.setting) as system:
                await self._measure(name, system)

    def _meet(self, system: Denoised) -> None:
        worker = system.worker()
        self.setting = replace(self.setting, precision=worker.precision)
        self.found |= {
            "quick": self.quick,
            "machine": worker.device,
            "cpu_features": cpu_features(),
            "cores": os.cpu_count(),
            "threads": self.setting.threads,
            "precision": worker.precision,
            "mode": worker.mode,
            "model": self.setting.model.name,
            "jobs_a_point": self.course.jobs_a_point,
        }

    async def _measure(self, name: str, system: System) -> None:
        alone = await latencies_alone(system.draw, self._mix(), repeats=self.course.repeats)
        log.info("%s alone: %s", name, alone)
        if not self.peer_capacity:
            await self._measure_capacity(system)
        for point in self.found["loads"]:
            if point["load"] > MOST_LOAD.get(name, 1.0):
                continue
            rate = point["load"] * self.peer_capacity
            point["arrivals_per_s"] = round(rate, 4)
            point["systems"][name] = await self._point(name, system, point["load"], alone)
            log.info("%s at %.0f %%: %s", name, 100 * point["load"], point["systems"][name])
            self.keep()
            if point["systems"][name]["overloaded"]:
                break  # what it has not done is still in its line, and more load would not help

    async def _measure_capacity(self, system: System) -> None:
        """Jobs/s of the mix when all come at once: its batches are as full as they get."""
        mix = self._mix(self.course.capacity_jobs)
        seconds = await burst(system.draw, mix)
        self.peer_capacity = len(mix) / seconds
        self.found["peer_capacity_jobs_per_s"] = round(self.peer_capacity, 4)
        self.found["peer_capacity_image_steps_per_s"] = round(image_steps(mix) / seconds, 1)
        log.info("the peer's capacity: %.3f jobs/s", self.peer_capacity)

    async def _point(self, name: str, system: System, load: float, alone: Alone) -> dict[str, Any]:
        """The same jobs at the same moments for every system."""
        coming = arrivals(self._mix(), load * self.peer_capacity, SEED)
        span_s = len(coming) / (load * self.peer_capacity)
        before = await system.work_done()
        served = await open_loop(system.draw, coming, patience_s=MOST_SPANS * span_s)
        after = await system.work_done()
        self.lines += job_lines(name, load, served, alone)
        return summary(served, alone) | {
            "occupancy": occupancy(before, after, CHUNK),
            "completed": len(served),
            "overloaded": len(served) < len(coming),
        }

    async def _alone_figures(self, system: Denoised) -> None:
        """What needs no peer: saturation, and HTTP with a worker that claims nothing."""
        model = self.setting.model
        self.found |= await saturation(system, model, width=CHUNK, **self.course.saturation)
        suspend(system.redis)
        self.found["http"] = await asyncio.to_thread(_http_rates, system.url, self.course.http_s)
        system.redis.flushdb()  # those jobs are not to be drawn
        resume(system.redis)
        log.info("http: %s", self.found["http"])
        self.keep()

    def _mix(self, count: int | None = None) -> list[Job]:
        count = self.course.jobs_a_point if count is None else count
        return jobs(count, SEED, long_chains=self.course.long_chains)

    def keep(self) -> None:
        """Write what is there: an hour must not be lost to its last minute."""
        if self.out:
            self.out.write_text(json.dumps(document(self.found), indent=2) + "\n")
        if self.jobs:
            self.jobs.write_text("".join(json.dumps(line) + "\n" for line in self.lines))


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--model", type=Path, default=Path("models/pretrained/fashion-mnist"))
    parser.add_argument("--quick", action="store_true", help="says that it runs, claims nothing")
    parser.add_argument("--loads", type=float, nargs="+", help="of the peer's capacity")
    parser.add_argument(
        "--systems", choices=SYSTEMS, nargs="+", help="loads are shares of the first's"
    )
    parser.add_argument("--out", type=Path, help="write the document here as well, as it grows")
    parser.add_argument("--jobs", type=Path, help="write every job's fate here, a JSON line each")
    parser.add_argument("--plot", type=Path, help="draw the latency-load curve into this PNG")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    leave_on_signals()
    with tempfile.TemporaryDirectory(prefix="denoised-") as folder:
        setting = Setting(args.model, "", os.cpu_count() or 1, Path(folder))
        course = QUICK if args.quick else FULL
        course = replace(course, loads=tuple(args.loads or course.loads))
        systems = tuple(name for name in SYSTEMS if name in (args.systems or SYSTEMS))
        benchmark = Benchmark(setting, course, systems, args.quick, args.out, args.jobs)
        asyncio.run(benchmark.run())
    report = document(benchmark.found)
    if args.plot:
        plot(report, args.plot)
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def _http_rates(url: str, seconds: float) -> dict[str, float]:
    host, port = url.removeprefix("http://").split(":")
    command = [sys.executable, "-m", "benchmarks.serving.http_rates", host, port, str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
