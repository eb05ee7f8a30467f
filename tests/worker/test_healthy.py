"""`python -m worker.healthy`: what a container's health check asks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from redis import Redis

from protocol.messages import WorkerInfo
from protocol.registry import WORKER_TTL_S, Registry
from tests.conftest import ROOT, RedisServer, Workers, until


def check(server: RedisServer, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as the container would."""
    return subprocess.run(
        [sys.executable, "-m", "worker.healthy"],
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": server.url} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_worker_is_healthy_until_it_is_killed(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    assert check(redis_server, MODELS="tiny").returncode == 0
    assert check(redis_server, MODELS="tiny another").returncode == 1
    process.kill()
    process.wait()
    until(lambda: check(redis_server).returncode == 1, timeout_s=WORKER_TTL_S + 30)


def test_a_worker_of_another_host_does_not_count(redis_server: RedisServer, redis: Redis) -> None:
    name = f"{socket.gethostname()}-2-17-0123abcd"
    Registry(redis).heartbeat(
        WorkerInfo(name=name, model="m", device="d", precision="p", engine="e", counters={})
    )
    answer = check(redis_server)
    assert answer.returncode == 1
    assert "heartbeats of 0 workers" in answer.stderr


def test_without_redis_the_answer_is_no_and_names_redis(redis_server: RedisServer) -> None:
    redis_server.kill()
    answer = check(redis_server)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Redis does not answer")


def test_the_check_loads_no_torch() -> None:
    script = "import sys, worker.healthy; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_worker_that_cannot_start_leaves_with_2_and_says_why_in_redis(
    redis_server: RedisServer, redis: Redis, tmp_path: Path
) -> None:
    environment = {"REDIS_URL": redis_server.url, "WORKER_MODEL": str(tmp_path)}
    left = subprocess.run(
        [sys.executable, "-m", "worker"], cwd=ROOT, env=os.environ | environment, check=False
    )
    assert left.returncode == 2
    fault = Registry(redis).start_fault()
    assert fault is not None
    assert fault.startswith(f"{tmp_path}: ")
    assert "missing" in fault
