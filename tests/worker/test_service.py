"""What the worker's parts must not leave behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from redis import Redis

from protocol.registry import Registry
from tests.conftest import ROOT, RedisServer
from worker import service
from worker.__main__ import EXIT_FAULT, main
from worker.resident import ResidentModel
from worker.settings import WorkerSettings

THREADS = 4
COUNT_THREADS = """
import os, time
from worker import service
from worker.settings import WorkerSettings

def threads():
    return len(os.listdir("/proc/self/task"))

def loaded(settings, load=service.load_resident):
    try:
        return load(settings)
    finally:
        global at_work
        at_work = threads()

service.load_resident = loaded
service.load_apart(WorkerSettings())
deadline = time.monotonic() + 10
while threads() > at_work - %d and time.monotonic() < deadline:
    time.sleep(0.01)
print(at_work - threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_loading_leaves_no_threads_to_contend_with_the_engines(
    tiny_model: Path, data_dir: Path
) -> None:
    environment = {
        "REDIS_URL": "redis://unused",
        "DATA_DIR": str(data_dir),
        "WORKER_MODEL": str(tiny_model),
        "WORKER_THREADS": str(THREADS),
    }
    script = [sys.executable, "-c", COUNT_THREADS % THREADS]
    ended = subprocess.run(
        script, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) >= THREADS, "the thread that loaded and its team have ended"


def test_a_device_without_memory_for_the_model_is_told_of_and_may_do_the_next_time(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer, redis: Redis, tiny_model: Path
) -> None:
    def out_of_memory(settings: WorkerSettings) -> ResidentModel:
        raise torch.OutOfMemoryError("CUDA out of memory.\nProcess 7 has 139 GiB in use.")

    monkeypatch.setattr(service, "load_resident", out_of_memory)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("WORKER_MODEL", str(tiny_model))
    assert main() == EXIT_FAULT
    assert Registry(redis).start_fault() == f"{tiny_model}: CUDA out of memory."
