"""What an operator sees of real workers: one request's lines, counts that outlive who counted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis

from protocol.claiming import Claiming
from protocol.messages import SamplerSpec
from tests.app.api_process import ApiProcess
from tests.conftest import ROOT, RedisServer, Workers, until
from tests.jobs import record, submit

LONG = SamplerSpec(name="ddpm", steps=1000, variance="fixed_small", clip=1.0)


class Logged:
    """A worker's stderr, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, **fields: Any) -> list[dict[str, Any]]:
        """Those of its JSON lines that have these fields."""
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in entries if fields.items() <= entry.items()]


def worker_into(path: Path, server: RedisServer, data_dir: Path, model: Path, **more: str) -> Any:
    environment = {"REDIS_URL": server.url, "DATA_DIR": str(data_dir), "WORKER_THREADS": "1"}
    with path.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=ROOT,
            env=os.environ | environment | {"WORKER_MODEL": str(model)} | more,
            stderr=file,
        )


def metrics(client: httpx2.Client) -> dict[str, float]:
    lines = [line for line in client.get("/metrics").text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def admin(server: RedisServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "app.admin", *arguments],
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_request_is_followed_from_the_post_to_the_workers_log(
    redis_server: RedisServer,
    workers: Workers,
    data_dir: Path,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    log = Logged(tmp_path / "worker.log")
    process = worker_into(log.path, redis_server, data_dir, tiny_model)
    workers.processes.append(process)
    until(lambda: workers.info(process), timeout_s=180)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        headers = {"X-Request-Id": "follow-me", "Prefer": "wait=60"}
        body = {"n": 40, "sampler": {"name": "ddim", "steps": 5}}
        job = client.post("/v1/jobs", json=body, headers=headers).json()
        until(lambda: len(log.lines(request_id="follow-me")) == 2)
        counted = until(lambda: found if _images(found := metrics(client)) == 40 else None)
    told = log.lines(request_id="follow-me", job_id=job["id"])
    assert sorted(entry["shard"] for entry in told) == [0, 1]
    assert {entry["message"] for entry in told} == {"shard done in run 1"}
    assert any('"request_id": "follow-me"' in line for line in api.log)
    assert counted['denoised_shards_begun_total{model="tiny"}'] == 2
    assert counted['denoised_shards_retried_total{model="tiny"}'] == 0
    assert counted['denoised_image_bytes_total{model="tiny"}'] > 40 * 50
    steps = counted['denoised_step_seconds_count{model="tiny"}']
    assert steps >= 40 * 5 / 16
    assert counted['denoised_step_seconds_bucket{le="+Inf",model="tiny"}'] == steps
    assert counted['denoised_step_seconds_sum{model="tiny"}'] > 0


def _images(seen: dict[str, float]) -> float | None:
    return seen.get('denoised_images_stored_total{model="tiny"}')


def test_counts_outlive_the_workers_that_counted_them(
    redis_server: RedisServer, redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    first = workers.start(tiny_model)
    job_id = submit(redis, n=32)
    until(lambda: record(redis, job_id).status.done)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0
    second = workers.start(tiny_model)
    job_id = submit(redis, n=8)
    until(lambda: record(redis, job_id).status.done)
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=30) == 0
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        seen = metrics(client)
    assert _images(seen) == 40
    assert seen['denoised_drains_total{model="tiny"}'] == 2
    assert seen['denoised_crashes_total{model="tiny"}'] == 0


def test_paused_workers_claim_nothing_until_they_may_again(
    redis_server: RedisServer, redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    assert admin(redis_server, "pause").returncode == 0
    job_id = submit(redis)
    heard = workers.heard(process)
    until(lambda: workers.heard(process) > heard + 2)  # it lives, and looks many times
    assert record(redis, job_id).started_at is None
    assert json.loads(admin(redis_server, "status", "--json").stdout)["paused"] is True
    assert admin(redis_server, "resume").stdout == "paused: no\n"
    until(lambda: record(redis, job_id).status.done)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_worker_that_is_asked_to_leave_finishes_and_leaves_with_0(
    redis_server: RedisServer, redis: Redis, workers: Workers, tiny_model: Path, by_name: bool
) -> None:
    process = workers.start(tiny_model, WORKER_GRACE_S="100")
    job_id = submit(redis, n=32, sampler=LONG)
    until(lambda: record(redis, job_id).first_step_at)
    info = until(lambda: workers.info(process))
    who = info.name if by_name else "--all"
    asked = admin(redis_server, "drain", who, "--json")
    assert json.loads(asked.stdout) == {"asked_to_leave": [info.name]}
    until(lambda: _asked_again(redis, info.name, process), timeout_s=100)
    assert process.returncode == 0
    assert record(redis, job_id).status == "succeeded"


def _asked_again(redis: Redis, name: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has left; asking once more while it has not is no harm."""
    Claiming(redis).drain(name)
    return process.poll() is not None
