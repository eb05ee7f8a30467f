"""The ports' layout into ours: the same numbers; refusals that change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.convert import convert, main
from models.diffusers_config import CheckpointError
from models.pesser import config_of, diffusers_names
from tests.models.peer import diffusers
from tests.models.ported_net import PortedNet

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def ported() -> PortedNet:
    torch.manual_seed(3)
    return PortedNet().eval()


def as_data_parallel(weights: Weights) -> Weights:
    return {f"module.{name}": tensor for name, tensor in weights.items()}


def spoiled(weights: Weights) -> Weights:
    return {name: tensor + 1 for name, tensor in weights.items()}


FORMS: dict[str, Callable[[Weights], Any]] = {
    "tensors by name": lambda w: w,
    "with DataParallel's prefix": as_data_parallel,
    "a training checkpoint": lambda w: [as_data_parallel(spoiled(w)), {"lr": 0.1}, 3, 900, w],
}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def assert_same_network(net: Any, ported: PortedNet) -> None:
    x, t = torch.randn(3, 1, 8, 8, generator=torch.Generator()), torch.tensor([0, 500, 999])
    with torch.no_grad():
        assert torch.allclose(net(x, t), ported(x, t), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_converted_network_computes_the_same(
    tmp_path: Path, ported: PortedNet, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved(tmp_path / "model.ckpt", FORMS[form](ported.state_dict()))
    target = tmp_path / "deep" / "converted"
    assert main([str(source), str(target), "--size", "8", "--variance", "fixed_large"]) == 0
    done = load_checkpoint(target)
    assert_same_network(done.net, ported)
    assert done.defaults.variance == "fixed_large"
    assert done.sha256 in capsys.readouterr().out
    assert [path.name for path in target.parent.iterdir()] == ["converted"]


def test_safetensors_are_converted_too(tmp_path: Path, ported: PortedNet) -> None:
    save_file(ported.state_dict(), tmp_path / "model.safetensors")
    done = convert(tmp_path / "model.safetensors", tmp_path / "converted", size=8)
    assert_same_network(done.net, ported)


def test_the_weights_before_averaging_can_be_asked_for(tmp_path: Path, ported: PortedNet) -> None:
    averaged = spoiled(ported.state_dict())
    source = saved(tmp_path / "c.pth", [ported.state_dict(), {}, 0, 0, averaged])
    assert_same_network(convert(source, tmp_path / "converted", size=8, ema=False).net, ported)


def test_diffusers_opens_and_samples_from_what_was_converted(
    tmp_path: Path, ported: PortedNet
) -> None:
    convert(saved(tmp_path / "m.pt", ported.state_dict()), tmp_path / "converted", size=8)
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / "converted")
    pipeline.set_progress_bar_config(disable=True)
    assert_same_network(lambda x, t: pipeline.unet(x, t).sample, ported)
    assert pipeline(num_inference_steps=2, output_type="np").images.shape == (1, 8, 8, 1)


def test_the_papers_cifar10_network_is_recognised_by_its_shapes() -> None:
    with torch.device("meta"):
        net = PortedNet(channels=3, width=128, mult=(1, 2, 2, 2), attend=1)
    weights = net.state_dict()
    config = config_of(weights, sample_size=32)
    assert config.block_out_channels == (128, 256, 256, 256)
    assert (config.layers_per_block, config.attention) == (2, (False, True, False, False))
    renamed = diffusers_names(weights, levels=4)
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(
            sample_size=32,
            block_out_channels=config.block_out_channels,
            layers_per_block=2,
            attention_head_dim=None,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        ).state_dict()
    assert {n: w.shape for n, w in renamed.items()} == {n: w.shape for n, w in theirs.items()}
    assert sum(w.numel() for w in renamed.values()) == 35_746_307


def truncated(path: Path, weights: Weights) -> None:
    saved(path, weights)
    path.write_bytes(path.read_bytes()[:5000])


REFUSED: dict[str, tuple[Callable[[Path, Weights], Any], str]] = {
    "truncated": (truncated, "damaged, or no file of tensors"),
    "another layout": (
        lambda path, w: saved(path, {"input_blocks.0.0.weight": torch.zeros(2)}),
        "another layout",
    ),
    "a tensor too few": (
        lambda path, w: saved(path, {n: v for n, v in w.items() if n != "mid.attn_1.k.bias"}),
        "mid_block.attentions.0.to_k.bias",
    ),
    "a tensor too many": (
        lambda path, w: saved(path, w | {"up.0.block.0.conv_shortcut.weight": torch.zeros(2)}),
        "conv_shortcut",
    ),
    "another shape": (
        lambda path, w: saved(path, w | {"conv_out.bias": torch.zeros(7)}),
        "conv_out.bias",
    ),
    "no average": (
        lambda path, w: saved(path, [w, {}, 1, 2]),
        "no averaged weights; --weights training takes the others",
    ),
    "an empty list": (lambda path, w: saved(path, []), "no averaged weights"),
    "not tensors": (lambda path, w: saved(path, "weights"), "expected tensors by name, found str"),
    "no file": (lambda path, w: None, "cannot be read: No such file"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_refusal_is_one_line_and_leaves_nothing(
    tmp_path: Path, ported: PortedNet, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write, said = REFUSED[why]
    source, folder = tmp_path / "model.ckpt", tmp_path / "out"
    write(source, ported.state_dict())
    assert main([str(source), str(folder / "converted"), "--size", "8"]) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not folder.exists() or not list(folder.iterdir())


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
