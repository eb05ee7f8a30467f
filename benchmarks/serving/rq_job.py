"""The one-at-a-time peer: what each RQ job does in a plain SimpleWorker."""

import json
import os
from functools import cache
from pathlib import Path

from redis import Redis

from benchmarks.serving.painter import Asked, Painter


def draw(n: int, sampler: str, steps: int, seed: int, answer: str) -> None:
    """Draw the images in one batch; push first step, then PNGs, onto the list `answer`."""
    *_, done = _painter().draw([Asked(n, sampler, steps, seed)])
    at, images = done[0]
    _redis().rpush(answer, json.dumps(at), *images)


@cache
def _painter() -> Painter:
    model, precision, threads = (os.environ[f"PEER_{n}"] for n in ("MODEL", "PRECISION", "THREADS"))
    return Painter(Path(model), precision, int(threads))


@cache
def _redis() -> Redis:
    return Redis.from_url(os.environ["PEER_REDIS_URL"])
