"""How a network begins: the paper's variances, and blocks that do nothing yet."""

import pytest
import torch
from torch import nn

from models.initialisation import LAST_LAYERS, initialise
from models.unet import UNet
from tests.models.runs import tiny_run, trainer_of
from tests.models.tiny import same, tiny_config, tiny_net


def begun() -> UNet:
    """A network wide enough for its weights' extremes to tell the bounds of their draw."""
    wide = tiny_config(block_out_channels=(32, 64), norm_num_groups=8, num_class_embeds=4)
    torch.manual_seed(0)
    return initialise(UNet(wide))


def layers(net: UNet, *, last: bool) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    """The last of each residual branch and of the network, or all others."""
    return [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and name.endswith(LAST_LAYERS) is last
    ]


def glorot(layer: nn.Conv2d | nn.Linear) -> float:
    """The bound of a uniform draw whose variance is 1 / the mean of fan in and fan out."""
    outs, ins = layer.weight.shape[:2]
    window = layer.weight[0, 0].numel()
    return float((3.0 / (window * (ins + outs) / 2)) ** 0.5)


def test_every_layer_is_drawn_with_the_papers_variance() -> None:
    drawn = layers(begun(), last=False)
    assert len(drawn) > 30
    for name, layer in drawn:
        bound = glorot(layer)
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.03), name
        assert layer.weight.abs().max().item() <= bound * (1 + 1e-6), name
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1), name


def test_every_bias_and_every_last_layer_starts_at_zero() -> None:
    net = begun()
    blocks, attentions = len(list(net.blocks())), 1 + 1 + 2  # down, middle, up
    last = layers(net, last=True)
    assert len(last) == blocks + attentions + 1
    assert all((layer.weight == 0).all() for _, layer in last)
    biases = [value for name, value in net.named_parameters() if name.endswith("bias")]
    assert all((value == 0).all() for value in biases)


@torch.no_grad()
def test_a_network_starts_as_the_identity_of_its_blocks() -> None:
    net = initialise(tiny_net())
    x, temb = torch.randn(2, 8, 8, 8), torch.randn(2, 32)
    assert torch.equal(net.get_submodule("down_blocks.0.resnets.0")(x, temb), x)
    deep = torch.randn(2, 16, 4, 4)
    assert torch.equal(net.get_submodule("mid_block.attentions.0")(deep), deep)
    out = net(torch.randn(2, 1, 8, 8), torch.tensor([1, 2]))
    assert torch.equal(out, torch.zeros_like(out))


def test_norms_and_classes_are_left_as_they_were() -> None:
    net = begun()
    norms = [module for module in net.modules() if isinstance(module, nn.GroupNorm)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    assert net.class_embedding.weight.std().item() == pytest.approx(1.0, rel=0.15)


def test_a_run_begins_so_for_its_seed_alone() -> None:
    one, again, other = (trainer_of(tiny_run(seed=seed)).net for seed in (1, 1, 2))
    assert same(dict(one.state_dict()), dict(again.state_dict()))
    assert not same(dict(one.state_dict()), dict(other.state_dict()))
    biases = [value for name, value in one.named_parameters() if name.endswith("conv_in.bias")]
    assert biases
    assert not any(value.any() for value in biases)
