"""The average that samples are drawn from."""

import pytest
import torch
from torch import nn

from models.ema import EMA
from tests.models.tiny import same


def constant(value: float) -> nn.Linear:
    net = nn.Linear(3, 2)
    for parameter in net.parameters():
        nn.init.constant_(parameter, value)
    return net


def test_the_average_starts_as_a_copy_of_the_weights_and_apart_from_them() -> None:
    net = constant(4.0)
    average = EMA(net, 0.9)
    nn.init.zeros_(net.weight)
    assert average.state_dict().keys() == net.state_dict().keys()
    assert all((value == 4.0).all() for value in average.state_dict().values())


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_of_a_constant_has_a_closed_form(decay: float) -> None:
    average, net = EMA(constant(1.0), decay), constant(3.0)
    for n in range(1, 20):
        average.update(net)
        for value in average.state_dict().values():
            expected = torch.full_like(value, 3.0 + decay**n * (1.0 - 3.0))
            assert torch.allclose(value, expected, rtol=1e-5, atol=0)


def test_an_average_goes_on_from_a_saved_one() -> None:
    saved = EMA(constant(1.0), 0.9)
    saved.update(constant(3.0))
    fresh = EMA(constant(0.0), 0.9)
    fresh.load_state_dict({name: v.clone() for name, v in saved.state_dict().items()})
    for average in (saved, fresh):
        average.update(constant(5.0))
    assert same(fresh.state_dict(), saved.state_dict())
