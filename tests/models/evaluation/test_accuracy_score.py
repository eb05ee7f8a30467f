"""`python -m models.accuracy_score`: what images teach, next to what real ones teach."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.accuracy_score import main, some_of


def striped(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images whose class is where they are bright, and some noise."""
    dice = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 60, (count, 1, 8, 8), generator=dice)
    for i, label in enumerate(labels.tolist()):
        images[i, :, :, 3 * label : 3 * label + 2] += 150
    return images.to(torch.uint8), labels


def written(path: Path, images: Tensor, labels: Tensor | None) -> str:
    arrays: dict[str, Any] = {} if labels is None else {"labels": labels.numpy()}
    np.savez(path, images=images.numpy(), **arrays)
    return str(path)


@pytest.fixture
def real(tmp_path: Path) -> list[str]:
    train = written(tmp_path / "train.npz", *striped(400, 0))
    test = written(tmp_path / "test.npz", *striped(60, 1))
    return ["--data", train, "--test", test, "--steps", "25", "--device", "cpu"]


def test_images_of_other_classes_than_they_say_teach_what_is_wrong(
    real: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = striped(150, 2)
    drawn = written(tmp_path / "drawn.npz", images, (labels + 1) % 3)
    assert main([drawn, *real]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accuracy"]["drawn"] < 0.1
    assert report["accuracy"]["as_many_real"] > 0.9
    assert report["accuracy"]["all_real"] > 0.9
    assert report["n"] == {"drawn": 150, "as_many_real": 150, "all_real": 400}
    assert (report["classes"], report["test_images"], report["steps"]) == (3, 60, 25)


def scored(drawn: str, real: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main([drawn, *real, "--steps", "1"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_score_says_of_which_file_it_is_and_how_that_was_drawn(
    real: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = written(tmp_path / "images.npz", *striped(150, 2))
    sha256 = hashlib.sha256(Path(drawn).read_bytes()).hexdigest()
    made = {"model": "kinds", "weights_sha256": "ab" * 32, "recipe": {"sampler": "ddim"}}
    told = made | {"images_sha256": sha256, "n": 150}
    (tmp_path / "report.json").write_text(json.dumps(told))
    report = scored(drawn, real, capsys)
    assert (report["images"], report["images_sha256"]) == (drawn, sha256)
    assert report["drawn_by"] == made


@pytest.mark.parametrize("beside", [None, "{", "[1]", '{"images_sha256": "00"}', "{}"])
def test_a_report_of_other_images_says_nothing_of_these(
    real: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], beside: str | None
) -> None:
    drawn = written(tmp_path / "images.npz", *striped(150, 2))
    if beside is not None:
        (tmp_path / "report.json").write_text(beside)
    report = scored(drawn, real, capsys)
    assert len(report["images_sha256"]) == 64
    assert report["drawn_by"] is None


def test_as_many_are_taken_from_everywhere() -> None:
    ordered = torch.arange(300).reshape(-1, 1, 1, 1), torch.arange(300)
    images, labels = some_of(ordered, 100, seed=0)
    assert torch.equal(images.flatten(), labels)
    assert len(set(labels.tolist())) == 100
    assert labels.max() > 250


@pytest.mark.parametrize(
    ("images", "labels", "extra", "message"),
    [
        (150, None, [], "has no array named labels"),
        (100, torch.arange(100) % 3, [], "drawn: 100 images do not fill a batch of 128"),
        (150, torch.arange(150) % 4, [], "labels are 0 ... 3, not 3 kinds"),
        (150, torch.arange(150) % 3, ["--steps", "0"], "--steps: must be positive"),
        (150, torch.arange(150) % 3, ["--data", "nowhere.npz"], "nowhere.npz"),
        (150, torch.arange(150) % 3, ["--device", "bogus"], "--device: bogus: "),
        (150, torch.arange(150) % 3, ["--device", "cuda:99"], "--device: cuda:99: "),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    real: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    images: int,
    labels: Tensor | None,
    extra: list[str],
    message: str,
) -> None:
    drawn = written(tmp_path / "drawn.npz", striped(images, 2)[0], labels)
    assert main([drawn, *real, *extra]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_images_of_another_size_are_refused(
    real: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = striped(150, 2)
    drawn = written(tmp_path / "drawn.npz", images[..., :6, :6].contiguous(), labels)
    assert main([drawn, *real]) == 2
    assert "drawn: images are (1, 6, 6), the test images (1, 8, 8)" in capsys.readouterr().err
