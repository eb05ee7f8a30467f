"""The three pure functions, with rows that know nothing of each other."""

from typing import Any

import pytest
import torch
from torch import Tensor

from models.diffusion import per_row, q_sample, reverse_step, square_error, target
from models.plan import Plan, ddim_plan, ddpm_plan
from models.schedule import linear_schedule

SCHEDULE = linear_schedule()
ALPHA_BAR = torch.from_numpy(SCHEDULE.alpha_bar).float()
Step = tuple[Tensor, Tensor]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixed_rows() -> dict[str, Tensor]:
    """Six rows of six plans at six positions, as arguments of `reverse_step`."""
    at: list[tuple[Plan, int]] = [
        (ddpm_plan(SCHEDULE, 1000), 0),
        (ddpm_plan(SCHEDULE, 1000, variance="fixed_large"), 500),
        (ddpm_plan(SCHEDULE, 50, clip=None), 49),
        (ddim_plan(SCHEDULE, 20, rederive_eps=False), 3),
        (ddim_plan(SCHEDULE, 10, eta=0.5), 9),
        (ddim_plan(SCHEDULE, 7, eta=1.0, clip=0.25), 6),
    ]
    lines = torch.stack([torch.from_numpy(plan.table[i]).float() for plan, i in at])
    names = ("x_t", "eps", "x0_prev", "noise")
    return {"coefficients": lines} | {n: randn(6, 3, 8, 8, seed=i) for i, n in enumerate(names)}


def step(rows: dict[str, Any]) -> Step:
    return reverse_step(**rows)


def test_per_row_weighs_each_image_by_its_own_number() -> None:
    weighed = per_row(torch.tensor([1.0, 2.0, 3.0])) * torch.ones(3, 2, 4, 5)
    assert weighed.amin(dim=(1, 2, 3)).tolist() == [1.0, 2.0, 3.0]
    assert weighed.amax(dim=(1, 2, 3)).tolist() == [1.0, 2.0, 3.0]


def test_q_sample_has_the_mean_and_variance_of_equation_4_in_each_row() -> None:
    t = torch.tensor([0, 250, 500, 999])
    x_0 = per_row(torch.tensor([1.0, -0.5, 0.25, 1.0])).expand(4, 1, 256, 256)
    x_t = q_sample(x_0, ALPHA_BAR[t], randn(4, 1, 256, 256)).double()
    mean = (ALPHA_BAR[t].sqrt() * x_0[:, 0, 0, 0]).tolist()
    variance = (1 - ALPHA_BAR[t]).tolist()
    assert x_t.mean(dim=(1, 2, 3)).tolist() == pytest.approx(mean, abs=5 / 256)
    assert x_t.var(dim=(1, 2, 3)).tolist() == pytest.approx(variance, rel=5 * 2**0.5 / 256)


def test_q_sample_of_no_noise_is_the_faded_image() -> None:
    x_0 = randn(2, 1, 4, 4)
    x_t = q_sample(x_0, torch.tensor([0.25, 1.0]), torch.zeros_like(x_0))
    assert torch.equal(x_t, torch.stack([0.5 * x_0[0], x_0[1]]))


def test_l_simple_is_zero_for_a_network_that_knows_the_noise() -> None:
    x_0, eps, t = randn(8, 3, 4, 4), randn(8, 3, 4, 4, seed=1), torch.arange(0, 1000, 125)
    assert not square_error(eps, x_0, ALPHA_BAR[t], eps).any()


def test_l_simple_is_the_plain_formula() -> None:
    x_0, eps, t = randn(3, 1, 4, 4), randn(3, 1, 4, 4, seed=1), torch.tensor([0, 400, 999])
    squares = []
    for i in range(3):
        abar = SCHEDULE.alpha_bar[int(t[i])]
        x_t = abar**0.5 * x_0[i].double() + (1 - abar) ** 0.5 * eps[i].double()
        squares.append((0.3 * x_t + int(t[i]) / 1000 - eps[i]) ** 2)
    out = 0.3 * q_sample(x_0, ALPHA_BAR[t], eps) + per_row(t / 1000)
    losses = square_error(out, x_0, ALPHA_BAR[t], eps)
    expected = torch.stack(squares).flatten(1).mean(dim=1)
    assert torch.allclose(losses.double(), expected, rtol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_what_a_network_is_to_say_is_enough_to_know_image_and_noise(prediction: Any) -> None:
    """A plan reads its target back: x0_hat is x_0, whatever t."""
    x_0, eps = randn(4, 1, 4, 4).clamp(-1, 1).double(), randn(4, 1, 4, 4, seed=1).double()
    plan = ddpm_plan(SCHEDULE, 4, prediction=prediction)
    abar = torch.from_numpy(plan.alpha_bar)
    x_t, said = q_sample(x_0, abar, eps), target(prediction, x_0, abar, eps)
    _, x0_hat = reverse_step(torch.from_numpy(plan.table), x_t, said, torch.zeros_like(x_0), None)
    assert torch.allclose(x0_hat, x_0, rtol=0, atol=1e-9)
    calm = ddim_plan(SCHEDULE, 4, prediction=prediction)
    x_next, _ = reverse_step(torch.from_numpy(calm.table), x_t, said, torch.zeros_like(x_0), None)
    abar_next = torch.cat([abar[1:], torch.ones(1, dtype=torch.float64)])
    assert torch.allclose(x_next, q_sample(x_0, abar_next, eps), rtol=0, atol=1e-9)


def test_l_simple_is_float32_whatever_the_network_answers_in() -> None:
    x_0, eps = randn(2, 1, 4, 4), randn(2, 1, 4, 4, seed=1)
    loss = square_error(x_0.bfloat16(), x_0, ALPHA_BAR[[5, 900]], eps)
    assert loss.dtype == torch.float32


def test_a_step_is_the_update_of_the_design() -> None:
    _, r1, r2, k, a, b, e, c, s = line = torch.tensor([7, 2.0, 0.5, 1.0, 0.1, 0.2, 0.3, 0.4, 0.6])
    x, eps, before, z = (randn(1, 1, 4, 4, seed=i) for i in range(4))
    x_next, x0_hat = reverse_step(line[None], x, eps, before, z)
    assert torch.equal(x0_hat, (r1 * x - r2 * eps).clamp(-k, k))
    assert x0_hat.abs().max() == 1.0  # some pixel was clipped
    expected = a * x + b * x0_hat + e * eps + c * before + s * z
    assert torch.allclose(x_next, expected, rtol=0, atol=1e-6)


def test_rows_of_different_plans_step_as_each_would_alone() -> None:
    together = step(mixed_rows())
    for i in range(6):
        alone = step({name: value[i : i + 1] for name, value in mixed_rows().items()})
        for batched, single in zip(together, alone, strict=True):
            assert torch.equal(batched[i], single[0])


def test_rows_may_stand_in_any_order() -> None:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = step({name: value[order] for name, value in mixed_rows().items()})
    for there, here in zip(shuffled, step(mixed_rows()), strict=True):
        assert torch.equal(there, here[order])


def test_no_noise_is_the_same_as_noise_of_zero() -> None:
    without = step(mixed_rows() | {"noise": None})
    zero = step(mixed_rows() | {"noise": torch.zeros(6, 3, 8, 8)})
    for a, b in zip(without, zero, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["coefficients", "x_t", "eps", "x0_prev", "noise"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 3e38])
def test_a_poisoned_row_does_not_touch_its_neighbours(name: str, poison: float) -> None:
    rows = mixed_rows()
    rows[name] = rows[name].clone()
    rows[name][2] = poison
    others = torch.tensor([0, 1, 3, 4, 5])
    for sick, healthy in zip(step(rows), step(mixed_rows()), strict=True):
        assert torch.equal(sick[others], healthy[others])
        assert torch.isfinite(sick[others]).all()


def test_a_row_at_its_last_position_ignores_its_noise() -> None:
    other_noise = mixed_rows() | {"noise": randn(6, 3, 8, 8, seed=99)}
    changed = (step(mixed_rows())[0] != step(other_noise)[0]).flatten(1).any(dim=1)
    assert changed.tolist() == [True, True, False, False, False, False]
