"""A network made ready to sample is the same network."""

import pytest
import torch

from models.sampling_net import SamplingNet
from models.unet import UNet
from tests.conftest import TINY


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(0)
    return UNet(TINY).eval()


def error(net: UNet, precision: str) -> float:
    ready = SamplingNet(net, 1000, device="cpu", precision=precision)
    x, t = torch.randn(8, *TINY.image_shape), torch.tensor([0, 1, 17, 250, 500, 750, 998, 999])
    with torch.inference_mode():
        exact = net(x, t)
    eps = ready(x, t)
    assert eps.dtype == torch.float32
    assert eps.shape == x.shape
    return float((eps - exact).norm() / exact.norm())


def test_in_float32_it_differs_by_rounding_alone(net: UNet) -> None:
    assert error(net, "float32") < 1e-6


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_in_a_reduced_precision_it_is_near(net: UNet, precision: str) -> None:
    assert 1e-6 < error(net, precision) < 0.02


def test_the_network_itself_stays_as_it_was(net: UNet) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    SamplingNet(net, 1000, device="cpu", precision="bfloat16")
    for name, value in net.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])
    assert net.conv_in.weight.is_contiguous()
