"""The classifier that judges: it learns, it is read as it was written, damage is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import train_classifier
from models.data import load_images, load_labels
from models.evaluate import CLASSIFIER
from models.evaluation.classifier import (
    BATCH,
    DESCRIPTION,
    WEIGHTS,
    Classifier,
    ClassifierError,
    Kind,
    accuracy,
    classify,
    load_classifier,
    save_classifier,
)
from models.train_classifier import fitted
from tests.models.test_train_config import TOML
from tests.models.tiny import FASHION

GARMENTS = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)


WHOLE = Path("/usr/share/datasets/fashion-mnist")


def halved() -> tuple[Tensor, Tensor]:
    """The 512 garments at 14x14, and what they are."""
    return load_images(FASHION)[:, :, ::2, ::2].contiguous(), load_labels(FASHION)


def saved(folder: Path, kind: Kind) -> Classifier:
    torch.manual_seed(0)
    net = Classifier(kind)
    save_classifier(folder, net, {"test_accuracy": 0.5})
    return net


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    saved(tmp_path / "classifier", Kind(1, ("a", "b", "c")))
    return tmp_path / "classifier"


def test_it_learns_garments_it_has_not_seen() -> None:
    images, labels = halved()
    net = fitted(images[:384], labels[:384], Kind(1, GARMENTS), epochs=20)
    assert accuracy(net, images[384:], labels[384:]) > 0.6
    assert 0.6 < accuracy(net, images[:384], labels[:384]) <= 1.0


def test_the_classifier_that_ships_knows_garments() -> None:
    """It was trained on these: that it still reads its weights is all they can show."""
    images, labels = load_images(FASHION), load_labels(FASHION)
    assert accuracy(load_classifier(CLASSIFIER).net, images, labels) > 0.94


@pytest.mark.skipif(not WHOLE.is_dir(), reason=f"needs the test images in {WHOLE}")
def test_the_classifier_that_ships_is_right_about_92_of_100_test_images_at_least() -> None:
    shipped = load_classifier(CLASSIFIER)
    images, labels = load_images(WHOLE, split="t10k"), load_labels(WHOLE, split="t10k")
    found = accuracy(shipped.net, images, labels)
    assert len(images) == 10_000
    assert found >= 0.92
    assert found == pytest.approx(shipped.description["test_accuracy"], abs=5e-4), "as it says"


def test_a_seed_is_a_classifier() -> None:
    images, labels = halved()
    one, again, other = (
        fitted(images[:128], labels[:128], Kind(1, GARMENTS), epochs=2, seed=seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.head.weight, again.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    kind = Kind(3, ("a", "b"))
    net = saved(tmp_path, kind)
    read = load_classifier(tmp_path)
    pixels = torch.randint(0, 256, (7, 3, 9, 9)).to(torch.uint8)
    assert read.net.kind == kind
    assert read.description["test_accuracy"] == 0.5
    for ours, theirs in zip(classify(net, pixels), classify(read.net, pixels), strict=True):
        assert torch.equal(ours, theirs)


def test_an_image_is_judged_the_same_among_others() -> None:
    net, pixels = Classifier(Kind(1, ("a", "b"))), halved()[0][:40]
    whole, _ = classify(net, pixels)
    parts, _ = classify(net, pixels, batch=7)
    assert whole.shape == (40, 64)
    assert whole.dtype == torch.float64
    assert torch.allclose(whole, parts, rtol=1e-4, atol=1e-6)


def spoil(folder: Path, how: str) -> None:
    description, weights = folder / DESCRIPTION, folder / WEIGHTS
    if how == "no description":
        description.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif how == "not text":
        description.write_bytes(b"\xff\xfe\x00")
    elif how == "not JSON":
        description.write_text("{")
    elif how == "a list":
        description.write_text("[1]")
    elif how == "another's weights":
        other = folder / "other"
        saved(other, Kind(1, ("a", "b", "d")))
        weights.write_bytes((other / WEIGHTS).read_bytes()[:-1] + b"\x01")
    else:
        raw = json.loads(description.read_text())
        description.write_text(json.dumps(raw | json.loads(how)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no description", "not a classifier: .*classifier.json"),
        ("no weights", "not a classifier: .*classifier.safetensors"),
        ("truncated", "not a classifier"),
        ("not text", "not a classifier"),
        ("not JSON", "classifier.json: .*JSON"),
        ("a list", "classifier.json"),
        ("another's weights", "safetensors: not the file that classifier.json describes"),
        ('{"classes": ["a", "b"]}', "not a classifier: .*head.weight"),
        ('{"classes": ["a"]}', "classifier.json: classes"),
        ('{"channels": 3}', "not a classifier: .*size mismatch"),
        ('{"channels": "1"}', "classifier.json: channels"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(classifier: Path, how: str, message: str) -> None:
    spoil(classifier, how)
    with pytest.raises(ClassifierError, match=message) as refused:
        load_classifier(classifier)
    assert str(classifier) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Ten classes, and the slice with its labels as data."""
    names = json.dumps(list(GARMENTS))
    text = TOML.replace("garments.npz", str(FASHION)).replace("T = 4", f"T = 4\nlabels = {names}")
    path = tmp_path / "tiny.toml"
    path.write_text(text.replace("sample_size = 8", "sample_size = 8\nnum_class_embeds = 11"))
    return path


def held_out(folder: Path) -> Path:
    images, labels = load_images(FASHION)[:64], load_labels(FASHION)[:64]
    np.savez(folder / "held-out.npz", images=images.numpy(), labels=labels.numpy())
    return folder / "held-out.npz"


def test_the_command_writes_a_classifier_and_says_how_good_it_is(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path / "c"), "--test", str(held_out(tmp_path)), "--epochs", "1"]
    assert train_classifier.main([str(config_file), *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    read = load_classifier(tmp_path / "c")
    assert read.net.kind == Kind(1, GARMENTS)
    assert (said["images"], said["epochs"]) == (512, 1)
    assert read.description["test_accuracy"] == said["test_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "has no test split; name held-out images with --test"),
        (["--test", "nowhere.npz"], "nowhere.npz: no such file"),
        (["--device", "bogus"], "--device: bogus: "),
        (["--epochs", "0", "--test", "held-out.npz"], f"epochs: 0 .* no batch of {BATCH}"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    config_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [arg.replace("held-out.npz", str(held_out(tmp_path))) for arg in arguments]
    assert train_classifier.main([str(config_file), "--out", str(tmp_path / "c"), *given]) == 2
    said = capsys.readouterr()
    assert re.search(message, said.err)
    assert said.out == ""
    assert not (tmp_path / "c").exists()


def test_a_configuration_without_labels_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.toml").write_text(TOML)
    assert train_classifier.main([str(tmp_path / "plain.toml"), "--out", str(tmp_path)]) == 2
    assert "labels: a classifier needs them" in capsys.readouterr().err
