"""`python -m benchmarks.soak [--minutes 30]`: what grows under 70 % of what the service can do?

A burst measures what the worker can do; then jobs arrive at 70 % of that, at random intervals.
Memory and descriptors of the API and the worker are read as it goes, and a line is fitted through
the second half: the first fills caches. The last stdout line is one JSON document.
"""

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.__main__ import tiny
from chaos.client import Client
from chaos.plan import Wanted
from chaos.processes import Kept
from chaos.stack import Stack, running, wait_until
from protocol import keys

LOAD, BURST, READINGS = 0.7, 60, 60
BODY = {"n": 8, "sampler": {"name": "ddim", "steps": 20}, "ttl_s": 60}


def main() -> int:
    """Exit status: 0; the figures are for reading."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        model = tiny(Path(folder))
        with running(Path(folder), model, workers=1) as stack:
            report = soak(stack, model.name, seconds=60 * minutes)
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def soak(stack: Stack, model: str, *, seconds: float) -> dict[str, float]:
    """The figures."""
    client = Client(stack.api_url, patience_s=60.0)
    per_s = _capacity(stack, client, model)
    logging.info("the worker does %.1f jobs/s; asking for %.0f %% of that", per_s, 100 * LOAD)
    watched = {"api": stack.api, "worker": stack.workers[0]}
    readings: list[tuple[float, dict[str, tuple[int, int]]]] = []
    started, asked, due = time.monotonic(), 0, 0.0
    while (now := time.monotonic() - started) < seconds:
        if now >= len(readings) * seconds / READINGS:
            readings.append((now, {name: _reading(kept) for name, kept in watched.items()}))
        client.submit(_wanted(asked))
        asked += 1
        due += random.expovariate(LOAD * per_s)  # whenever the last one was answered
        time.sleep(max(0.0, due - (time.monotonic() - started)))
    client.close()
    report = {"jobs": float(asked), "load": round(asked / seconds / per_s, 2)}
    for name in watched:
        late = readings[len(readings) // 2 :]
        times = [at / 3600 for at, _ in late]
        memory = [reading[name][0] / 2**20 for _, reading in late]
        report[f"{name}_mib_per_hour"] = round(_slope(times, memory), 1)
        report[f"{name}_mib"] = round(memory[-1], 1)
        report[f"{name}_more_descriptors"] = late[-1][1][name][1] - readings[0][1][name][1]
    return report


def _capacity(stack: Stack, client: Client, model: str) -> float:
    """Jobs a second, out of a burst."""
    started = time.monotonic()
    for k in range(BURST):
        client.submit(_wanted(k))
    with stack.look() as redis:
        wait_until(lambda: redis.zcard(keys.unended(model)) == 0, within_s=600, what="the burst")
    return BURST / (time.monotonic() - started)


def _wanted(number: int) -> Wanted:
    return Wanted(number, BODY | {"seed": number, "metadata": {"chaos": number}})


def _reading(kept: Kept) -> tuple[int, int]:
    """Resident bytes, open descriptors."""
    return kept.memory_bytes(), kept.files()


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    return statistics.linear_regression(x, y).slope if len(x) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
