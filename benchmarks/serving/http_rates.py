"""Requests a second of one API process that has nothing to wait for, from a process of its own.

    python -m benchmarks.serving.http_rates HOST PORT SECONDS

Prints one JSON document. The worker must not claim meanwhile: see `rates`.
"""

import http.client
import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from benchmarks.serving.statistics import percentile

CONNECTIONS = 16
BODY = json.dumps({"n": 1, "seed": 1, "sampler": {"name": "ddim", "steps": 20}})
Ask = Callable[[http.client.HTTPConnection], bytes]


def rates(host: str, port: int, seconds: float) -> dict[str, float]:
    """POST /v1/jobs, then GET of those jobs, over 16 kept-alive connections each."""
    posted: list[str] = []

    def post(connection: http.client.HTTPConnection) -> bytes:
        connection.request("POST", "/v1/jobs", BODY, {"Content-Type": "application/json"})
        answer = _answer(connection, 202)
        posted.append(json.loads(answer)["urls"]["self"])
        return answer

    def get(connection: http.client.HTTPConnection) -> bytes:
        connection.request("GET", random.choice(posted))
        return _answer(connection, 200)

    posts, gets = (_flood(host, port, seconds, ask) for ask in (post, get))
    return {
        "post_per_s": round(len(posts) / seconds, 1),
        "get_per_s": round(len(gets) / seconds, 1),
        "p99_ms": round(1e3 * max(percentile(posts, 99), percentile(gets, 99)), 2),
        "post_p99_ms": round(1e3 * percentile(posts, 99), 2),
        "get_p99_ms": round(1e3 * percentile(gets, 99), 2),
    }


def _flood(host: str, port: int, seconds: float, ask: Ask) -> list[float]:
    """The seconds each request took. Raises what any client raises."""
    end = time.perf_counter() + seconds

    def client() -> list[float]:
        taken = []
        with closing(http.client.HTTPConnection(host, port)) as connection:
            while (began := time.perf_counter()) < end:
                ask(connection)
                taken.append(time.perf_counter() - began)
        return taken

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        running = [clients.submit(client) for _ in range(CONNECTIONS)]
        return [taken for each in running for taken in each.result()]


def _answer(connection: http.client.HTTPConnection, status: int) -> bytes:
    response = connection.getresponse()
    content = response.read()
    if response.status != status:
        raise RuntimeError(f"{response.status}: {content[:200]!r}")
    return content


if __name__ == "__main__":
    sys.stdout.write(json.dumps(rates(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))) + "\n")
