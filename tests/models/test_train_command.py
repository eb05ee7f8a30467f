"""`python -m models.train`: a killed run ends in the same bits as one left alone; bad input."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.train import intervals, main
from tests.conftest import ROOT, until
from tests.models.runs import metrics_of, tiny_run, trainer_of
from tests.models.test_train_config import TOML
from tests.models.tiny import FASHION, same


@pytest.fixture
def config_file(tmp_path: Path, garments: Tensor) -> Path:
    """Beside the data that it names."""
    np.savez(tmp_path / "garments.npz", images=garments.numpy())
    path = tmp_path / "tiny.toml"
    path.write_text(TOML.replace("garments.npz", str(tmp_path / "garments.npz")))
    return path


def start(config_file: Path, out: Path) -> subprocess.Popen[str]:
    arguments = [str(config_file), "--out", str(out), "--save-every", "160"]
    return subprocess.Popen(
        [sys.executable, "-m", "models.train", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_after_a_save(config_file: Path, out: Path) -> None:
    with start(config_file, out) as victim:
        state = out / "state.pt"
        try:
            until(lambda: state.exists() or victim.poll() is not None, timeout_s=120)
        finally:
            victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert metrics_of(out)[-1]["images"] < 960


def expect_the_same_run(whole: Path, killed: Path) -> None:
    one, two = (load_checkpoint(folder / "checkpoint") for folder in (whole, killed))
    assert one.sha256 == two.sha256
    states = [torch.load(f / "state.pt", weights_only=True) for f in (whole, killed)]
    assert same(*({k: v for k, v in s.items() if k != "seconds"} for s in states))
    for folder in (whole, killed):
        assert [line["images"] for line in metrics_of(folder)] == list(range(160, 961, 160))
        seconds = [line["seconds"] for line in metrics_of(folder)]
        assert seconds == sorted(seconds)
    pictures = [(f / "samples" / "000000960.png").read_bytes() for f in (whole, killed)]
    assert pictures[0] == pictures[1]


def test_a_run_killed_after_a_save_ends_as_if_it_had_not_been(
    config_file: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_after_a_save(config_file, killed)
    with start(config_file, killed) as resumed:
        assert main([str(config_file), "--out", str(whole), "--save-every", "160"]) == 0
        assert "resumed at" in resumed.communicate(timeout=120)[0]
    assert resumed.returncode == 0
    expect_the_same_run(whole, killed)


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("seed = 3", "sead = 3", "{config}: optimiser.sead"),
        ("batch = 16", "batch = 0", "{config}: optimiser.batch: .*greater"),
        ("batch = 16", "batch = 4000", "garments.npz: .* images; batch: 4000 is more"),
        ("garments.npz", "nowhere.npz", "nowhere.npz: no such file or folder"),
        ("sample_size = 8", "sample_size = 10", "garments.npz: images are .*8, 8.*10, 10"),
    ],
)
def test_what_cannot_be_trained_ends_with_status_2_and_no_folder(
    config_file: Path, caplog: pytest.LogCaptureFixture, line: str, replacement: str, message: str
) -> None:
    assert line in config_file.read_text()
    config_file.write_text(config_file.read_text().replace(line, replacement))
    assert main([str(config_file), "--out", str(config_file.parent / "run")]) == 2
    [record] = [r for r in caplog.records if r.levelname == "ERROR"]
    assert re.search(message.format(config=re.escape(str(config_file))), record.getMessage())
    assert not (config_file.parent / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save-every", "0"], "--save-every: must be positive, got 0"),
        (["--export-every", "-5"], "--export-every: must be positive, got -5"),
        (["--device", "bogus"], "--device: bogus: "),
        (["--device", "cuda:97"], "--device: cuda:97: "),
    ],
)
def test_an_argument_that_cannot_be_ends_with_status_2_and_its_name(
    config_file: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert main([str(config_file), "--out", str(config_file.parent / "run"), *arguments]) == 2
    [record] = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage().startswith(message)
    assert "\n" not in record.getMessage()
    assert not (config_file.parent / "run").exists()


def test_a_run_that_diverges_ends_with_status_1_and_saves_nothing(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = config_file.parent / "run"
    config_file.write_text(config_file.read_text().replace("2e-3", "1e38"))
    assert main([str(config_file), "--out", str(out), "--save-every", "160"]) == 1
    [record] = [r for r in caplog.records if r.levelname == "ERROR"]
    assert "after 160 images, the last at learning rate 1e+38" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert [path.name for path in out.rglob("*")] == ["samples"]


def test_a_configuration_that_has_changed_is_refused_and_the_state_left_alone(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = config_file.parent / "run"
    config_file.write_text(config_file.read_text().replace("images = 960", "images = 32"))
    assert main([str(config_file), "--out", str(out)]) == 0
    before = (out / "state.pt").read_bytes()
    config_file.write_text(config_file.read_text().replace("seed = 3", "seed = 4"))
    assert main([str(config_file), "--out", str(out)]) == 2
    assert "optimiser.seed: 3 in the state, 4 now" in caplog.text
    assert (out / "state.pt").read_bytes() == before


def test_a_run_goes_on_with_the_images_it_had_wherever_they_lie_and_with_no_others(
    config_file: Path, garments: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    out, moved = config_file.parent / "run", config_file.parent / "moved.npz"
    config_file.write_text(config_file.read_text().replace("images = 960", "images = 32"))
    assert main([str(config_file), "--out", str(out)]) == 0
    again = [str(config_file), "--out", str(out), "--data", str(moved)]
    np.savez_compressed(moved, images=garments.numpy())
    assert main(again) == 0
    before = (out / "state.pt").read_bytes()
    np.savez(moved, images=garments[1:].numpy())
    assert main(again) == 2
    assert f"{out / 'state.pt'}: trained on other images or labels" in caplog.text
    assert (out / "state.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("images", "save_every", "export_every"),
    [(192_000, 8_000, 40_000), (32_000_000, 64_000, 320_000), (102_400_000, 204_800, 1_024_000)],
)
def test_a_long_run_saves_and_exports_less_often(
    images: int, save_every: int, export_every: int
) -> None:
    assert intervals(images) == (save_every, export_every)
    assert intervals(images, save_every=500) == (500, export_every)
    assert intervals(images, export_every=500) == (save_every, 500)


def test_a_folder_with_another_networks_run_is_refused_and_left_alone(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = config_file.parent / "run" / "state.pt"
    state.parent.mkdir()
    torch.save(trainer_of(tiny_run(network={"layers_per_block": 2})).state_dict(), state)
    before = state.read_bytes()
    assert main([str(config_file), "--out", str(state.parent)]) == 2
    assert f"{state}: of another network" in caplog.text
    assert state.read_bytes() == before


def test_data_given_on_the_command_line_stand_in_for_the_configurations(
    config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([str(config_file), "--data", str(FASHION)]) == 2
    assert "28, 28" in caplog.text


LABELS = 'T = 4\nlabels = ["a", "b", "c"]'
CLASSES = "sample_size = 8\nnum_class_embeds = 4"


def with_labels(config_file: Path, labels: list[int] | None) -> str:
    """The same run by class, on data that have these labels, over and over."""
    data = config_file.parent / "garments.npz"
    images = np.load(data)["images"]
    arrays: dict[str, Any] = {} if labels is None else {"labels": np.resize(labels, len(images))}
    np.savez(data, images=images, **arrays)
    text = config_file.read_text().replace("T = 4", LABELS).replace("sample_size = 8", CLASSES)
    config_file.write_text(text)
    return str(config_file)


def test_a_run_by_class_names_its_classes_in_the_card(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = config_file.parent / "run"
    assert main([with_labels(config_file, [0, 1, 2]), "--out", str(out)]) == 0
    assert capsys.readouterr().out == "", "the bar is on stderr"
    checkpoint = load_checkpoint(out / "checkpoint")
    assert checkpoint.card["labels"] == ["a", "b", "c"]
    assert checkpoint.net.config.num_class_embeds == 4


@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "no array named labels"), ([0, 3], r"labels are 0 \.\.\. 3, not 3"), ([-1], "-1")],
)
def test_labels_that_do_not_fit_are_refused_before_anything_is_written(
    config_file: Path, caplog: pytest.LogCaptureFixture, labels: list[int] | None, message: str
) -> None:
    out = config_file.parent / "run"
    assert main([with_labels(config_file, labels), "--out", str(out)]) == 2
    assert re.search(message, caplog.text)
    assert not out.exists()
