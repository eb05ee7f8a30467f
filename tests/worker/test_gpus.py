"""Which GPU a worker takes; the GPUs are a program that lists them, the workers are processes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from worker.gpus import listed

TWO = """GPU 0: NVIDIA L4 (UUID: GPU-aaaa-1)
GPU 1: NVIDIA L4 (UUID: GPU-bbbb-2)
"""
SLICED = """GPU 0: NVIDIA H100 (UUID: GPU-aaaa-1)
  MIG 1g.10gb     Device  0: (UUID: MIG-cccc-3)
  MIG 1g.10gb     Device  1: (UUID: MIG-dddd-4)
GPU 1: NVIDIA H100 (UUID: GPU-bbbb-2)
"""
TAKE = """
import os, sys
from pathlib import Path
from worker.gpus import take_gpu
place = take_gpu(Path(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), place and place.number, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder for PATH whose nvidia-smi lists two GPUs."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{TWO}END\n")
    program.chmod(0o755)
    return tmp_path


@contextmanager
def taker(host: Path, **environment: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A process that takes a GPU and keeps it; and what it says."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKE, str(host / "data")],
        cwd=ROOT,
        env={"PATH": f"{host}/bin:/usr/bin:/bin"} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_gpus_are_read_from_their_list() -> None:
    assert listed(TWO) == ["GPU-aaaa-1", "GPU-bbbb-2"]
    assert listed("") == []


def test_a_gpu_in_slices_counts_as_its_slices() -> None:
    assert listed(SLICED) == ["MIG-cccc-3", "MIG-dddd-4", "GPU-bbbb-2"]


def test_each_worker_gets_a_gpu_to_itself_and_those_beyond_share_evenly(host: Path) -> None:
    with ExitStack() as running:
        said = [running.enter_context(taker(host))[1] for _ in range(4)]
    assert said == ["GPU-aaaa-1 0", "GPU-bbbb-2 0", "GPU-aaaa-1 1", "GPU-bbbb-2 1"]


def test_the_gpu_of_a_killed_worker_is_free_at_once(host: Path) -> None:
    with taker(host) as (first, said), taker(host):
        assert said == "GPU-aaaa-1 0"
        first.kill()
        first.wait()
        with taker(host) as (_, said):
            assert said == "GPU-aaaa-1 0"


def test_a_choice_that_was_made_before_stands(host: Path) -> None:
    with taker(host, CUDA_VISIBLE_DEVICES="1") as (_, said):
        assert said == "1 None"


def test_without_a_driver_nothing_is_chosen(tmp_path: Path) -> None:
    with taker(tmp_path) as (_, said):
        assert said == "None None"


def test_a_driver_that_fails_is_no_reason_to_fall(host: Path) -> None:
    (host / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    with taker(host) as (_, said):
        assert said == "None None"
