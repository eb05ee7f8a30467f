"""Images in a folder for each class: `train/<class>/*.jpg`."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import load_checkpoint
from models.data import DataError, labels_of, load_images, load_labelled, load_labels
from models.train import main as train
from models.train_classifier import main as train_classifier
from tests.models.test_train_config import TOML

KINDS = ("boot", "coat", "shirt")
SHADES = {"boot": 10, "coat": 120, "shirt": 230}


def write_images(folder: Path, per_class: int, size: int = 8) -> Path:
    """Each class of its own shade, so that an image tells its label; read in another order."""
    for kind in reversed(KINDS):
        for i in range(per_class):
            path = folder / kind / f"batch{i % 2}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size, size), SHADES[kind], np.uint8)).save(path)
    return folder


def test_sub_folders_sorted_by_name_are_the_classes(tmp_path: Path) -> None:
    images, labels = load_labelled(write_images(tmp_path, 5), classes=3)
    assert (labels.dtype, tuple(labels.shape)) == (torch.int64, (15,))
    assert labels.bincount().tolist() == [5, 5, 5]
    shades = torch.tensor([SHADES[kind] for kind in KINDS])
    assert torch.equal(images[:, 0, 0, 0].long(), shades[labels])
    assert torch.equal(images, load_images(tmp_path))
    assert torch.equal(labels, load_labels(tmp_path))


@pytest.mark.parametrize("content", [b"hello", b""])
def test_a_broken_image_is_skipped_in_labels_alike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    write_images(tmp_path, 4)
    whole = (tmp_path / "boot" / "batch1" / "1.png").read_bytes()
    (tmp_path / "boot" / "batch1" / "1.png").write_bytes(content)
    (tmp_path / "coat" / "batch0" / "0.png").write_bytes(whole[:-30])
    with caplog.at_level(logging.WARNING):
        images, labels = load_labelled(tmp_path, classes=3)
    assert labels.bincount().tolist() == [3, 3, 4]
    assert len(images) == len(labels)
    assert [line for line in caplog.messages if "of 12 images skipped" in line] == [
        f"{tmp_path}: 2 of 12 images skipped"
    ]


def test_an_image_beside_the_sub_folders_is_refused_where_labels_are_needed(
    tmp_path: Path,
) -> None:
    write_images(tmp_path, 2)
    Image.new("L", (8, 8)).save(tmp_path / "stray.png")
    assert len(load_images(tmp_path)) == 7
    told = "stray.png lies in no sub-folder, which would be its class"
    with pytest.raises(DataError, match=f"^{tmp_path}: {told}$"):
        load_labelled(tmp_path, classes=3)


@pytest.mark.parametrize("classes", [2, 4])
def test_another_number_of_sub_folders_is_refused_before_any_image_is_read(
    tmp_path: Path, classes: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A split that lacks a class would give the later ones other numbers."""
    write_images(tmp_path, 2)
    (tmp_path / "boot" / "batch0" / "broken.png").write_bytes(b"")
    told = rf"^{tmp_path}: 3 sub-folders \(boot, coat, shirt\), not {classes} classes$"
    with pytest.raises(DataError, match=told):
        load_labelled(tmp_path, classes=classes)
    with pytest.raises(DataError, match=told):
        labels_of(tmp_path, images=6, classes=classes)
    assert not caplog.messages


def config(folder: Path) -> str:
    """A class-conditional run of folders of images, and the classifier's data."""
    path, data = folder / "tiny.toml", write_images(folder / "train", 60)
    text = TOML.replace("garments.npz", str(data)).replace("images = 960", "images = 160")
    text = text.replace("sample_size", "num_class_embeds = 4\nsample_size")
    path.write_text(f"labels = {json.dumps(list(KINDS))}\n{text}")
    return str(path)


def test_a_run_and_a_classifier_learn_classes_from_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, test = config(tmp_path), str(write_images(tmp_path / "test", 4))
    assert train([path, "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert load_checkpoint(tmp_path / "run" / "checkpoint").card["labels"] == list(KINDS)
    arguments = [path, "--test", test, "--out", str(tmp_path / "classifier"), "--device", "cpu"]
    assert train_classifier([*arguments, "--epochs", "3"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["images"] == 180
