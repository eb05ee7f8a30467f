"""`python -m models.bits_per_dim`: JSON that is JSON, classes that are told, refusals by name."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.bits_per_dim import likelihood, main
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.fair_order import shuffled
from models.schedule import linear_schedule
from tests.models.tiny import tiny_config, tiny_net

LABELS = torch.arange(8) % 3


def strict(text: str) -> dict[str, Any]:
    """JSON as others read it: no NaN, no Infinity."""
    return dict(json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")))


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """A checkpoint that knows three classes and none; each changes much."""
    net = tiny_net(num_class_embeds=4)
    with torch.no_grad():
        net.class_embedding.weight.mul_(5.0)
    config = tiny_config(num_class_embeds=4)
    save_checkpoint(tmp_path / "kinds", config, net.state_dict(), linear_schedule())
    return tmp_path / "kinds"


@pytest.fixture
def data(tmp_path: Path, garments: Tensor) -> Path:
    np.savez(tmp_path / "eight.npz", images=garments[:8].numpy(), labels=LABELS.numpy())
    return tmp_path / "eight.npz"


def test_the_scatter_of_one_image_is_null(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for images in (1, 2):
        assert main([str(folder), "--data", str(data), "--n", str(images), "--timesteps", "5"]) == 0
        report = strict(capsys.readouterr().out)
        assert report["images"] == images
        assert (report["standard_error"] is None) == (images == 1)


@pytest.mark.parametrize("as_data", [[], ["--n", "5"]], ids=str)
def test_a_model_with_classes_is_told_those_of_the_data(
    kinds: Path,
    data: Path,
    garments: Tensor,
    capsys: pytest.CaptureFixture[str],
    as_data: list[str],
) -> None:
    assert main([str(kinds), "--data", str(data), "--timesteps", "5", *as_data]) == 0
    report = strict(capsys.readouterr().out)
    n, checkpoint = report["images"], load_checkpoint(kinds)
    images, classes = shuffled(garments[:8], n), shuffled(LABELS, n)
    told, others, none = (
        likelihood(checkpoint, images, labels=labels, timesteps=5).total
        for labels in (classes, (classes + 1) % 3, None)
    )
    assert (report["classes"], report["bits_per_dim"]) == ("of the data", told)
    assert len({told, others, none}) == 3, "all of it matters"


def test_each_row_is_told_its_own_images_class_whatever_the_batch(
    kinds: Path, garments: Tensor
) -> None:
    checkpoint = load_checkpoint(kinds)
    whole, parts = (
        likelihood(checkpoint, garments[:6], labels=LABELS[:6], timesteps=9, batch=batch).total
        for batch in (64, 7)
    )
    assert parts == pytest.approx(whole, rel=1e-5)


def without_labels(path: Path, garments: Tensor) -> Path:
    np.savez(path, images=garments[:8].numpy())
    return path


def test_who_is_told_no_class_says_so(
    kinds: Path,
    folder: Path,
    data: Path,
    tmp_path: Path,
    garments: Tensor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unlabelled = without_labels(tmp_path / "unlabelled.npz", garments)
    for model, source in ((kinds, unlabelled), (folder, data)):
        assert main([str(model), "--data", str(source), "--timesteps", "5"]) == 0
        report = strict(capsys.readouterr().out)
        assert report["classes"] == "none"
        eight = shuffled(garments[:8])
        assert report["total"] == likelihood(load_checkpoint(model), eight, timesteps=5).total


def test_a_split_is_named_where_the_data_has_several(
    folder: Path, data: Path, tmp_path: Path, garments: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = tmp_path / "splits"
    splits.mkdir()
    header = struct.pack(">HBBIII", 0, 8, 3, 8, 8, 8)
    body = garments[:8].numpy().tobytes()
    (splits / "t10k-images-idx3-ubyte").write_bytes(header + body)
    for source, told in ((data, str(data)), (splits, f"{splits}, t10k")):
        assert main([str(folder), "--data", str(source), "--timesteps", "5"]) == 0
        assert strict(capsys.readouterr().out)["data"] == told


def test_labels_of_more_kinds_than_the_model_knows_are_refused(
    kinds: Path, tmp_path: Path, garments: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "ten.npz", images=garments[:10].numpy(), labels=np.arange(10))
    assert main([str(kinds), "--data", str(tmp_path / "ten.npz")]) == 2
    assert "ten.npz: labels are 0 ... 9, not 3 kinds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timesteps", "1"], "--timesteps: must be between 2 and 1000, got 1"),
        (["--timesteps", "1001"], "--timesteps: must be between 2 and 1000, got 1001"),
        (["--n", "0"], "--n: must be 1 at least, got 0"),
        (["--n", "-1"], "--n: must be 1 at least, got -1"),
        (["--batch", "0"], "--batch: must be 1 at least, got 0"),
        (["--device", "bogus"], "--device: bogus: "),
        (["--device", "cuda:99"], "--device: cuda:99: "),
        (["--device", "meta"], "--device: meta: "),
    ],
    ids=str,
)
def test_what_cannot_be_counted_is_refused_in_one_line_by_the_arguments_name(
    folder: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main([str(folder), "--data", str(data), *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(message)
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_refused_in_one_line(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--data", str(data), "--device", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("--device: cuda: ")
    assert said.count("\n") == 1


def broken_by_class(kinds: Path, label: int) -> Checkpoint:
    """Finite weights that overflow where this class is asked for."""
    checkpoint = load_checkpoint(kinds)
    with torch.no_grad():
        checkpoint.net.class_embedding.weight[label] = 3e38
    return checkpoint


def test_a_network_that_says_nan_is_refused_by_the_first_image(
    kinds: Path, garments: Tensor
) -> None:
    broken = broken_by_class(kinds, 2)
    with pytest.raises(ValueError, match="image 2: the network's bound on it is not finite"):
        likelihood(broken, garments[:6], labels=LABELS[:6], timesteps=5)
