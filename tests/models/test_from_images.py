"""Variations and interpolations: what is shared, what differs, and where a chain may start."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.diffusion import per_row
from models.from_images import between, interpolations, noised, variations
from models.noise import Purpose, normal
from models.plan import ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.sample import first_state, reverse_chain, sample
from models.schedule import linear_schedule
from tests.models.tiny import tiny_net

SCHEDULE = linear_schedule()
SHAPE = (1, 8, 8)
X_A, X_B = torch.linspace(-1, 1, 64).reshape(SHAPE), torch.linspace(1, -0.5, 64).reshape(SHAPE)


def plan_from(t: int, steps: int = 10) -> Any:
    return ddpm_plan(SCHEDULE, steps, spacing="trailing", start_t=t)


def test_an_image_is_noised_to_where_the_plan_starts() -> None:
    key = torch.tensor([7]), torch.tensor([3]), torch.tensor([0])
    eps = normal(*key, Purpose.FORWARD, SHAPE)[0]
    abar = SCHEDULE.alpha_bar[499]
    x_t = noised(X_A, plan_from(500), seed=7, index=3)
    assert torch.allclose(x_t, abar**0.5 * X_A + (1 - abar) ** 0.5 * eps, rtol=0, atol=1e-6)
    leading = ddim_plan(SCHEDULE, 4, start_t=500)  # starts at 375
    abar = SCHEDULE.alpha_bar[375]
    x_t = noised(X_A, leading, seed=7, index=3)
    assert torch.allclose(x_t, abar**0.5 * X_A + (1 - abar) ** 0.5 * eps, rtol=0, atol=1e-6)


@pytest.mark.parametrize("t", [1, 2, 20])
def test_from_a_small_t_the_image_comes_back(t: int) -> None:
    """With the network that knows it; x_t at t = 1 is nearly the image itself."""
    alpha_bar = torch.from_numpy(SCHEDULE.alpha_bar).float()

    def knows(x_t: Tensor, t: Tensor) -> Tensor:
        abar = per_row(alpha_bar[t])
        return (x_t - abar.sqrt() * X_A) / (1 - abar).sqrt()

    plan = dpmpp_2m_plan(SCHEDULE, min(t, 5), spacing="trailing", start_t=t)
    images = variations(knows, plan, X_A, seed=1, indices=[0, 1])
    assert torch.allclose(images, X_A.expand(2, -1, -1, -1), rtol=0, atol=1e-3)


def test_variations_share_their_start_and_differ_by_their_noise() -> None:
    together = variations(tiny_net(), plan_from(500), X_A, seed=7, indices=[0, 4])
    alone = variations(tiny_net(), plan_from(500), X_A, seed=7, indices=[4])
    assert torch.allclose(together[1:], alone, rtol=0, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1
    calm = ddim_plan(SCHEDULE, 10, spacing="trailing", start_t=500)
    same = variations(tiny_net(), calm, X_A, seed=7, indices=[0, 4])
    assert torch.allclose(same[0], same[1], rtol=0, atol=1e-4)


def test_an_interpolation_ends_where_its_images_variations_are() -> None:
    plan, lambdas = plan_from(300), torch.tensor([0.0, 0.5, 1.0])
    found = interpolations(tiny_net(), plan, X_A, X_B, seed=7, lambdas=lambdas)
    start = variations(tiny_net(), plan, X_A, seed=7, indices=[0])
    assert torch.allclose(found[:1], start, rtol=0, atol=1e-4)
    one = interpolations(tiny_net(), plan, X_A, X_B, seed=7, lambdas=lambdas[1:2])
    assert torch.allclose(found[1:2], one, rtol=0, atol=1e-4)
    assert (found[0] - found[2]).abs().max() > 0.1


def test_the_two_ends_are_noised_independently_and_mixed_linearly() -> None:
    plan = plan_from(300)
    a, b = noised(X_A, plan, seed=7, index=0), noised(X_A, plan, seed=7, index=1)
    assert (a - b).abs().max() > 0.1
    mixed = between(a, b, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(mixed[0], a)
    assert torch.allclose(mixed[1], 0.75 * a + 0.25 * b, rtol=0, atol=1e-6)
    assert torch.equal(mixed[2], b)


def test_progressive_generation_ends_in_the_image() -> None:
    plan, net = ddpm_plan(SCHEDULE, 10), tiny_net()
    chain = list(reverse_chain(net, plan, first_state(SHAPE, 7, [2]), seed=7, indices=[2]))
    assert len(chain) == 10
    assert all(x0_hat.abs().max() <= 1 for _, x0_hat in chain)  # clipped
    x, x0_hat = chain[-1]
    assert torch.equal(x[0], sample(net, plan, SHAPE, seed=7, index=2))
    assert torch.allclose(x, x0_hat, rtol=0, atol=1e-6)  # the last step adds nothing
    assert not any(x.requires_grad for x, _ in chain)
