"""Two processes that train one network: what torchrun starts, and what comes of it."""

import os
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
from tests.conftest import ROOT
from tests.models.runs import metrics_of, pictures_of
from tests.models.test_train_config import TOML


def torchrun(processes: int, config: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    ranks = ["--nproc-per-node", str(processes), "--master-port", str(free_port())]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *ranks, "-m", "models.train"]
        + [str(config), "--out", str(out), "--save-every", "160"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def config_file(tmp_path: Path, garments: Tensor) -> Path:
    np.savez(tmp_path / "garments.npz", images=garments.numpy())
    path = tmp_path / "tiny.toml"
    text = TOML.replace("garments.npz", str(tmp_path / "garments.npz"))
    path.write_text(text.replace("bfloat16", "float32").replace("images = 960", "images = 320"))
    return path


def test_two_processes_train_what_one_does(config_file: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for processes, out in ((1, one), (2, two)):
        run = torchrun(processes, config_file, out)
        assert run.returncode == 0, run.stderr
    alone, shared = (load_checkpoint(out / "checkpoint").net.state_dict() for out in (one, two))
    for name, weight in alone.items():
        assert torch.allclose(weight, shared[name], rtol=0, atol=1e-4), name
    losses = [[line["loss"] for line in metrics_of(out)] for out in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert [line["images"] for line in metrics_of(two)] == [160, 320], "written once"
    assert pictures_of(one) == pictures_of(two)


def test_processes_that_a_batch_cannot_be_cut_for_are_refused(
    config_file: Path, tmp_path: Path
) -> None:
    run = torchrun(3, config_file, tmp_path / "run")
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
