"""The ports' layout into ours: the same numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import load_checkpoint
from models.convert import convert, main
from models.pesser import config_of, diffusers_names
from models.schedule import NoiseSchedule, cosine_schedule, linear_schedule, sigmoid_schedule
from tests.models.peer import diffusers
from tests.models.ported_net import PortedNet, Weights, saved


def as_data_parallel(weights: Weights) -> Weights:
    return {f"module.{name}": tensor for name, tensor in weights.items()}


def spoiled(weights: Weights) -> Weights:
    return {name: tensor + 1 for name, tensor in weights.items()}


FORMS: dict[str, Callable[[Weights], Any]] = {
    "tensors by name": lambda w: w,
    "with DataParallel's prefix": as_data_parallel,
    "a training checkpoint": lambda w: [as_data_parallel(spoiled(w)), {"lr": 0.1}, 3, 900, w],
}


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


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path: Path, ported: PortedNet) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    convert(source, tmp_path / (255 * "x"), size=8)
    assert_same_network(load_checkpoint(tmp_path / (255 * "x")).net, ported)


def test_tensors_that_share_memory_are_converted(tmp_path: Path, ported: PortedNet) -> None:
    weights = ported.state_dict()
    weights["norm_out.bias"] = weights["up.0.block.2.norm2.bias"]
    source = saved(tmp_path / "m.pt", weights)
    read = convert(source, tmp_path / "converted", size=8).net.state_dict()
    assert torch.equal(read["conv_norm_out.bias"], weights["norm_out.bias"])


SCHEDULES: dict[str, NoiseSchedule] = {
    "": linear_schedule(),
    "--timesteps 4000": linear_schedule(4000),
    "--beta-start 0.001 --beta-end 0.01": linear_schedule(start=0.001, end=0.01),
    "--schedule cosine --timesteps 40": cosine_schedule(40),
    "--schedule sigmoid --beta-end 0.03": sigmoid_schedule(end=0.03),
}


@pytest.mark.parametrize("flags", SCHEDULES)
def test_the_schedule_that_was_trained_with_can_be_told(
    tmp_path: Path, ported: PortedNet, flags: str
) -> None:
    source = saved(tmp_path / "m.pt", ported.state_dict())
    assert main([str(source), str(tmp_path / "out"), "--size", "8", *flags.split()]) == 0
    read = load_checkpoint(tmp_path / "out").schedule
    assert read.name == SCHEDULES[flags].name
    assert np.array_equal(read.beta, SCHEDULES[flags].beta)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--timesteps 0", "--timesteps: Input should be greater than or equal to 1"),
        ("--timesteps 100001", "--timesteps: Input should be less than or equal to 100000"),
        ("--timesteps 20000", "--timesteps with these betas: they leave no signal in x_T"),
        ("--beta-start 0", "--beta-start: Input should be greater than 0"),
        ("--beta-end 1", "--beta-end: Input should be less than 1"),
        ("--schedule sigmoid --beta-end nan", "--beta-end: Input should be a finite number"),
        ("--schedule cosine --beta-end 0.02", "--beta-end: the cosine schedule has no use for it"),
    ],
)
def test_what_no_schedule_can_be_is_refused_by_its_flag(
    tmp_path: Path, flags: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "m.pt"), str(tmp_path / "out"), "--size", "8", *flags.split()]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1


def test_a_schedule_that_is_not_ours_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "m.pt"), str(tmp_path), "--size", "8", "--schedule", "quad"])
    assert "--schedule: invalid choice: 'quad'" in capsys.readouterr().err
