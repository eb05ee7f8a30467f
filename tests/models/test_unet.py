"""Our network against diffusers' UNet2DModel with the same random weights."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from models.diffusers_config import parse_unet_config
from models.unet import UNet, UNetConfig
from tests.models.peer import diffusers
from tests.models.tiny import tiny_config, tiny_net

CIFAR10 = {  # google/ddpm-cifar10-32, config.json
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": (128, 256, 256, 256),
    "center_input_sample": False,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 32,
    "time_embedding_type": "positional",
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
GREY_28 = CIFAR10 | {
    "sample_size": 28,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}
OTHER_CONVENTIONS = GREY_28 | {
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
}
DEEP_AND_ATTENTIVE = GREY_28 | {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 3,
    "block_out_channels": (16, 32, 48),
    "down_block_types": ("AttnDownBlock2D",) * 3,
    "up_block_types": ("AttnUpBlock2D",) * 3,
    "attention_head_dim": None,
}
LSUN_256 = UNetConfig(
    sample_size=256,
    in_channels=3,
    out_channels=3,
    block_out_channels=(128, 128, 256, 256, 512, 512),
    layers_per_block=2,
    attention=(False, False, False, False, True, False),
)


def twins(options: dict[str, Any]) -> tuple[UNet, Any]:
    """Ours and diffusers', from the same config.json and with the same weights."""
    torch.manual_seed(0)
    theirs = diffusers.UNet2DModel(**options).eval()
    ours = UNet(parse_unet_config(json.loads(theirs.to_json_string()))).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def batch_for(options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Three rows at mixed timesteps, the chain's ends among them."""
    size = options["sample_size"]
    x = torch.randn(3, options["in_channels"], size, size, generator=torch.Generator())
    return x, torch.tensor([999, 0, 371])


@torch.no_grad()
def worst_difference(options: dict[str, Any]) -> float:
    ours, theirs = twins(options)
    x, t = batch_for(options)
    expected = theirs(x, t).sample
    assert expected.std() > 0.05  # there is something to compare
    return float((ours(x, t) - expected).abs().max())


def test_the_cifar10_network_is_diffusers_own() -> None:
    assert worst_difference(CIFAR10) <= 1e-5


@pytest.mark.parametrize(
    "options", [GREY_28, OTHER_CONVENTIONS, DEEP_AND_ATTENTIVE], ids=["grey", "other", "deep"]
)
def test_other_networks_are_diffusers_own_as_well(options: dict[str, Any]) -> None:
    assert worst_difference(options) <= 1e-5


@pytest.mark.parametrize(
    "change",
    [
        {"downsample_padding": 0},
        {"flip_sin_to_cos": False},
        {"freq_shift": 1},
        {"norm_eps": 1e-2},
        {"attention_head_dim": 16},
    ],
    ids=str,
)
@torch.no_grad()
def test_each_convention_changes_the_numbers(change: dict[str, Any]) -> None:
    """So the agreement above is not for want of sensitivity."""
    ours, theirs = twins(OTHER_CONVENTIONS)
    changed = json.loads(theirs.to_json_string()) | change
    other = UNet(parse_unet_config(changed)).eval()
    other.load_state_dict(ours.state_dict())
    x, t = batch_for(OTHER_CONVENTIONS)
    assert (other(x, t) - ours(x, t)).abs().max() > 1e-4


@torch.no_grad()
def test_a_network_with_classes_is_diffusers_own() -> None:
    ours, theirs = twins({**GREY_28, "num_class_embeds": 11})
    x, t = batch_for(GREY_28)
    y = torch.tensor([0, 10, 3])
    expected = theirs(x, t, class_labels=y).sample
    assert (ours(x, t, y) - expected).abs().max() <= 1e-5
    assert (ours(x, t, y.flip(0)) - expected).abs().max() > 1e-4


def test_classes_are_given_where_there_are_any_and_there_alone() -> None:
    x, t, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), torch.tensor([0, 1])
    with pytest.raises(AssertionError, match="classes"):
        tiny_net()(x, t, y)
    with pytest.raises(AssertionError, match="classes"):
        tiny_net(num_class_embeds=3)(x, t)


def test_the_cifar10_network_has_the_published_size() -> None:
    with torch.device("meta"):
        net = UNet(parse_unet_config(json.loads(json.dumps(CIFAR10))))
    assert sum(p.numel() for p in net.parameters()) == 35_746_307
    assert len(net.state_dict()) == 328


def test_the_256_pixel_network_has_the_published_size() -> None:
    with torch.device("meta"):
        net = UNet(LSUN_256)
    assert sum(p.numel() for p in net.parameters()) == 113_673_219
    assert len(net.state_dict()) == 450


@torch.no_grad()
def test_each_row_is_at_its_own_timestep() -> None:
    net, x = tiny_net(), torch.randn(3, 1, 8, 8)
    together = net(x, torch.tensor([10, 500, 900]))
    for i, t in enumerate([10, 500, 900]):
        alone = net(x[i : i + 1], torch.tensor([t]))
        assert torch.allclose(together[i : i + 1], alone, rtol=0, atol=1e-6)
    assert (together - net(x, torch.tensor([10, 501, 900]))).flatten(1).any(1).tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("t", [torch.tensor(5), torch.tensor([5]), torch.tensor([[5], [5]])])
def test_timesteps_that_are_not_one_per_row_are_refused(t: Tensor) -> None:
    with pytest.raises(AssertionError, match="one timestep per row"):
        tiny_net()(torch.zeros(2, 1, 8, 8), t)


def test_dropout_acts_in_training_only() -> None:
    net, t = tiny_net(dropout=0.5), torch.tensor([5])
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.equal(net(x, t), net(x, t))


@torch.no_grad()
def test_in_bfloat16_the_timesteps_are_still_told_apart() -> None:
    """Sinusoids are made in float32: bfloat16 cannot tell 997 from 996."""
    assert torch.tensor(997.0).bfloat16() == torch.tensor(996.0).bfloat16()
    net, x = tiny_net().bfloat16(), torch.randn(1, 1, 8, 8).bfloat16()
    out = net(x, torch.tensor([996]))
    assert out.dtype == torch.bfloat16
    assert not torch.equal(out, net(x, torch.tensor([997])))


def test_an_image_has_the_configured_shape() -> None:
    assert tiny_config(in_channels=3, sample_size=16).image_shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attention": (False,)}, "attention"),
        ({"attention": (False, True, True)}, "attention"),
        ({"sample_size": 9}, "sample_size"),
        ({"sample_size": 0}, "sample_size"),
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": -1}, "out_channels"),
        ({"layers_per_block": 0}, "layers_per_block"),
        ({"layers_per_block": "1"}, "layers_per_block"),
        ({"dropout": 1.5}, "dropout"),
        ({"downsample_padding": 2}, "downsample_padding"),
        ({"block_out_channels": (9, 9), "norm_num_groups": 3}, "block_out_channels"),
        ({"norm_num_groups": 3}, "norm_num_groups"),
        ({"norm_num_groups": 0}, "norm_num_groups"),
        ({"block_out_channels": (8, 18)}, "norm_num_groups"),
        ({"block_out_channels": (0, 8)}, "block_out_channels"),
        ({"block_out_channels": (), "attention": ()}, "block_out_channels"),
        ({"attention_head_dim": 5}, "attention_head_dim"),
        ({"attention_head_dim": 12, "attention": (False, False)}, "attention_head_dim"),
    ],
    ids=str,
)
def test_a_network_that_cannot_be_built_is_refused_by_name(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        tiny_config(**changes)


def test_a_head_need_not_fit_a_level_without_attention() -> None:
    options = GREY_28 | {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 64,
    }
    assert worst_difference(options) <= 1e-5
