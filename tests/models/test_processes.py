"""Two processes that train one network: what torchrun starts, and what comes of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from launch.settings import free_port
from models.checkpoint import load_checkpoint
from models.processes import Processes, device_of
from models.train import main
from tests.conftest import ROOT
from tests.models.runs import metrics_of, pictures_of
from tests.models.test_train_config import TOML


def torchrun(processes: int, *command: str) -> "subprocess.CompletedProcess[str]":
    ranks = ["--nproc-per-node", str(processes), "--master-port", str(free_port())]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *ranks, *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def train(processes: int, config: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    arguments = [str(config), "--out", str(out), "--save-every", "160", "--device", "cpu"]
    return torchrun(processes, "-m", "models.train", *arguments)


def of_length(config: Path, images: int) -> Path:
    """The same configuration, of that length."""
    config.write_text(re.sub(r"(?m)^images = \d+", f"images = {images}", config.read_text()))
    return config


@pytest.fixture
def config_file(tmp_path: Path, garments: Tensor) -> Path:
    """A run in float32 whose rate does not fall, so that it may become longer."""
    np.savez(tmp_path / "garments.npz", images=garments.numpy())
    path = tmp_path / "tiny.toml"
    text = TOML.replace("garments.npz", str(tmp_path / "garments.npz"))
    path.write_text(text.replace("bfloat16", "float32").replace("decay_from = 0.5\n", ""))
    return of_length(path, 320)


def test_two_processes_train_what_one_does_and_go_on_where_they_stopped(
    config_file: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for processes, out, images in ((2, two, 160), (2, two, 320), (1, one, 320)):
        run = train(processes, of_length(config_file, images), out)
        assert run.returncode == 0, run.stderr
    alone, shared = (load_checkpoint(out / "checkpoint").net.state_dict() for out in (one, two))
    for name, weight in alone.items():
        assert torch.allclose(weight, shared[name], rtol=0, atol=1e-4), name
    losses = [[line["loss"] for line in metrics_of(out)] for out in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert [line["images"] for line in metrics_of(two)] == [160, 320], "written once"
    assert pictures_of(one) == ["000000320"]
    assert pictures_of(two) == ["000000160", "000000320"], "each sitting had its end"


ON_TWO_DISKS = """
import os, sys
from torch import cuda, device, distributed
from models.train import main
cuda.is_available = lambda: True  # a GPU that the run is not asked to use
status = main([sys.argv[1], "--device", "cpu", "--out", sys.argv[2] + os.environ["RANK"]])
group = distributed.distributed_c10d._get_default_group()
waits = group._get_backend(device("cpu")).options._timeout
os.write(1, f"waits {waits}\\n".encode())  # whole, beside what the other process writes
distributed.destroy_process_group()
raise SystemExit(status)
"""


def test_processes_that_stand_at_different_states_are_refused(
    config_file: Path, tmp_path: Path
) -> None:
    """As on two nodes that share no disk. They would also wait longer than torch's own minutes."""
    first = [str(of_length(config_file, 160)), "--device", "cpu", "--out", str(tmp_path / "out0")]
    assert main(first) == 0
    driver = tmp_path / "driver.py"
    driver.write_text(ON_TWO_DISKS)
    run = torchrun(2, str(driver), str(of_length(config_file, 320)), str(tmp_path / "out"))
    assert run.returncode != 0
    for line in (
        "process 0 is at 160 images, others",
        "process 1 is at 0 images, others at 0 to 160",
    ):
        assert line in run.stdout + run.stderr
    assert not (tmp_path / "out1" / "state.pt").exists()
    assert run.stdout.count("waits 2:00:00") == 2


def test_processes_that_a_batch_cannot_be_cut_for_are_refused(
    config_file: Path, tmp_path: Path
) -> None:
    run = train(3, config_file, tmp_path / "run")
    assert run.returncode != 0
    assert "batch: 16 is not divided by 3 processes" in run.stdout + run.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_every_row_of_a_batch_is_somebodys_once() -> None:
    rows = [
        row
        for rank in range(3)
        for share in Processes(rank, 3).shares(24, accumulate=2)
        for row in range(24)[share]
    ]
    assert sorted(rows) == list(range(24))


def test_a_process_alone_adds_nothing_up() -> None:
    value = torch.tensor([1.0, 2.0])
    Processes().add_up([value])
    assert value.tolist() == [1.0, 2.0]


def test_a_process_alone_agrees_with_itself() -> None:
    Processes().expect_agreement(160, torch.device("cpu"))


def test_of_several_gpus_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "97")
    assert device_of("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="--device: cuda:97: "):
        device_of("cuda")


@pytest.mark.parametrize("name", ["bogus", "cuda:97", "cuda:x", "mps:9", "meta", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=f"^--device: {name}: ") as refused:
        device_of(name)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
