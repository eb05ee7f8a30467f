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
    left = 1.0  # of what it began with
    for n in range(20):
        average.update(net, n)
        left *= min(decay, (1 + n) / (10 + n))
        for value in average.state_dict().values():
            expected = torch.full_like(value, 3.0 + left * (1.0 - 3.0))
            assert torch.allclose(value, expected, rtol=1e-5, atol=0)


def test_without_warm_up_the_decay_is_the_same_from_the_first_step() -> None:
    average = EMA(constant(1.0), 0.999, warmup=False)
    for n in range(20):
        average.update(constant(3.0), n)
    for value in average.state_dict().values():
        expected = torch.full_like(value, 3.0 + 0.999**20 * (1.0 - 3.0))
        assert torch.allclose(value, expected, rtol=1e-5, atol=0)


def test_a_short_run_forgets_what_it_began_with() -> None:
    average, net = EMA(constant(1.0), 0.9995), constant(0.0)
    for n in range(200):
        average.update(net, n)
    assert all((value < 1e-9).all() for value in average.state_dict().values())


def test_a_long_run_remembers_as_long_as_it_was_told() -> None:
    average = EMA(constant(1.0), 0.9995)
    for n in range(10**6, 10**6 + 2000):  # 0.9995 to the power of 2,000 is 1 / e
        average.update(constant(0.0), n)
    assert all(
        value.mean().item() == pytest.approx(0.3678, rel=1e-2)
        for value in average.state_dict().values()
    )


def test_an_average_goes_on_from_a_saved_one() -> None:
    saved = EMA(constant(1.0), 0.9)
    saved.update(constant(3.0), 0)
    fresh = EMA(constant(0.0), 0.9)
    fresh.load_state_dict({name: v.clone() for name, v in saved.state_dict().items()})
    for average in (saved, fresh):
        average.update(constant(5.0), 1)
    assert same(fresh.state_dict(), saved.state_dict())
