"""What is not converted: a line that says what of which file, and nothing is left behind."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from models.convert import convert, main
from models.diffusers_config import CheckpointError
from models.schedule import linear_schedule
from tests.models.ported_net import PortedNet, Weights, saved


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """As on a disk that is full after so much."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def truncated(path: Path, weights: Weights) -> None:
    saved(path, weights)
    path.write_bytes(path.read_bytes()[:5000])


def along_with(more: Weights) -> Callable[[Path, Weights], Any]:
    """The whole network, with these tensors added or exchanged."""
    return lambda path, weights: saved(path, weights | more)


def only(content: Any) -> Callable[[Path, Weights], Any]:
    return lambda path, weights: saved(path, content)


SOME = torch.zeros(2)
REFUSED: dict[str, tuple[Callable[[Path, Weights], Any], str]] = {
    "truncated": (truncated, "damaged, or no file of tensors"),
    "another layout": (only({"conv1.weight": SOME}), "another layout"),
    "OpenAI's": (
        only({"time_embed.0.weight": SOME, "input_blocks.0.0.weight": SOME}),
        "'input_blocks.0.0.weight' is of openai/guided-diffusion and improved-diffusion",
    ),
    "w86763777's": (
        only({"module.head.weight": SOME, "module.downblocks.0.block1.0.weight": SOME}),
        "'downblocks.0.block1.0.weight' is of w86763777/pytorch-ddpm",
    ),
    "w86763777's training checkpoint": (
        only({"net_model": {"head.weight": SOME}, "ema_model": {"head.weight": SOME}, "step": 9}),
        "'net_model' is of w86763777/pytorch-ddpm",
    ),
    "diffusers'": (only({"down_blocks.0.resnets.0.norm1.bias": SOME}), "is of diffusers"),
    "a tensor too few": (
        lambda path, w: saved(path, {n: v for n, v in w.items() if n != "mid.attn_1.k.bias"}),
        "mid_block.attentions.0.to_k.bias is missing",
    ),
    "a tensor too many": (
        along_with({"up.0.block.9.norm1.bias": SOME}),
        "'up_blocks.2.resnets.9.norm1.bias' is none of its tensors",
    ),
    "an old name of diffusers'": (
        lambda path, w: saved(
            path, {n.replace("mid.attn_1.q", "mid.attn_1.query"): w[n] for n in w}
        ),
        "mid_block.attentions.0.to_q.weight is missing",
    ),
    "another shape": (
        along_with({"conv_out.bias": torch.zeros(7)}),
        "conv_out.bias is (7,), not (1,)",
    ),
    "a scalar": (
        along_with({"conv_in.weight": torch.tensor(1.0)}),
        "conv_in.weight: () is no convolution's shape",
    ),
    "a scalar deeper": (
        along_with({"down.1.block.0.conv1.weight": torch.tensor(1.0)}),
        "down.1.block.0.conv1.weight: () is no convolution's shape",
    ),
    "nothing in a kernel": (
        along_with({"conv_in.weight": torch.zeros(2**40, 0, 3, 3)}),
        "conv_in.weight: (1099511627776, 0, 3, 3) is no convolution's shape",
    ),
    "with and without DataParallel's prefix": (
        along_with({"module.conv_in.bias": torch.zeros(32)}),
        "'conv_in.bias' and 'module.conv_in.bias': one tensor under two names",
    ),
    "in two layouts": (
        along_with({"time_embedding.linear_1.bias": torch.zeros(128)}),
        "'temb.dense.0.bias' and 'time_embedding.linear_1.bias': one tensor under two names",
    ),
    "no average": (
        lambda path, w: saved(path, [w, {}, 1, 2]),
        "no averaged weights; --weights training takes the others",
    ),
    "an empty list": (only([]), "no averaged weights"),
    "not tensors": (only("weights"), "expected tensors by name, found str"),
    "no file": (lambda path, w: None, "cannot be read: No such file"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_is_one_line_about_the_source_and_leaves_nothing(
    tmp_path: Path, ported: PortedNet, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write, said = REFUSED[why]
    source, folder = tmp_path / "model.ckpt", tmp_path / "out"
    write(source, ported.state_dict())
    assert main([str(source), str(folder / "converted"), "--size", "8"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{source}: ")
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not folder.exists()


def test_a_size_that_the_network_cannot_have_is_named(tmp_path: Path, ported: PortedNet) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    with pytest.raises(CheckpointError, match="sample_size: 7 is not halved 2 times"):
        convert(source, tmp_path / "converted", size=7)


def test_what_is_there_is_never_overwritten(tmp_path: Path, ported: PortedNet) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    (tmp_path / "there").mkdir()
    with pytest.raises(CheckpointError, match="there: exists already; nothing was written"):
        convert(source, tmp_path / "there", size=8)
    assert not list((tmp_path / "there").iterdir())


UNWRITABLE = {
    "in/a/file/converted": "Not a directory",
    "in/a/file/and/deeper": "Not a directory",
    f"new/{256 * 'x'}": "File name too long",
    f"new/{256 * 'x'}/converted": "File name too long",
    "/proc/nowhere/converted": "No such file or directory",
    "in/dangling": "exists already",
}


@pytest.mark.parametrize("place", UNWRITABLE, ids=lambda place: place[:24])
def test_a_place_that_cannot_be_written_is_named_in_one_line_and_nothing_is_left(
    tmp_path: Path, ported: PortedNet, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = saved(tmp_path / "m.pt", ported.state_dict()), tmp_path / place
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "file").write_text("kept")
    (tmp_path / "in" / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert main([str(source), str(target), "--size", "8"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"{target}: ")
    assert UNWRITABLE[place] in told
    assert told.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_where_there_is_no_room_nothing_is_left(
    tmp_path: Path, ported: PortedNet, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / "there" / "deep" / "deeper" / "converted"
    with no_file_above(100_000):
        assert main([str(source), str(target), "--size", "8"]) == 1
    assert capsys.readouterr().err == f"{target}: cannot be written: File too large\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_what_could_not_be_read_again_is_not_kept(tmp_path: Path, ported: PortedNet) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    too_long = linear_schedule(100_001, start=1e-6, end=1e-6)
    with pytest.raises(CheckpointError) as refused:
        convert(source, tmp_path / "new" / "out", size=8, schedule=too_long)
    said = str(refused.value)
    assert said.startswith(f"{source}: is not readable once converted: scheduler/scheduler_config")
    assert list(tmp_path.iterdir()) == [source]
