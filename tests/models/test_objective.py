"""What is made small: weights of the bound, the bound itself, and the variance's share of it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.bound import Bound
from models.objective import Objective, loss_weights, objective_of, prior_bits
from models.pixels import from_uint8
from models.schedule import linear_schedule
from models.train_config import TrainConfig
from tests.models.runs import run_on, tiny_run, trainer_of

SCHEDULE = linear_schedule()
T = torch.tensor([0, 1, 2, 30, 400, 999])


def config(**changes: Any) -> TrainConfig:
    of_run = {key: changes.pop(key) for key in ("variance", "loss") if key in changes}
    return replace(tiny_run(T=1000, **of_run), **changes)


def objective(**changes: Any) -> Objective:
    return objective_of(config(**changes), SCHEDULE, torch.device("cpu"))


def row(garments: Tensor, channels: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(out, x_0, t, eps): what a network that is not quite right said of some garments."""
    dice = torch.Generator().manual_seed(0)
    x_0 = from_uint8(garments[: len(T)])
    eps = torch.randn(x_0.shape, generator=dice)
    wrong = torch.randn((len(T), channels, 8, 8), generator=dice)
    out = torch.cat([eps, torch.zeros_like(eps)], dim=1)[:, :channels] + 0.1 * wrong
    return out.requires_grad_(), x_0, T, eps


def test_the_bounds_weights_have_the_golden_values() -> None:
    config = replace(tiny_run(T=1000), variance="fixed_large", loss="bound")
    weights = loss_weights(linear_schedule(), config)
    golden = {0: 0.5, 1: 0.2727, 10: 0.0682, 100: 0.0100, 500: 0.0055, 999: 0.0102}
    assert {t: float(weights[t]) for t in golden} == pytest.approx(golden, abs=1e-4)
    small = loss_weights(linear_schedule(), replace(config, variance="fixed_small"))
    assert float(small[999]) == pytest.approx(float(weights[999]), rel=1e-3)
    assert float(small[1]) > float(weights[1])
    assert torch.isfinite(small).all()


def test_a_weighted_loss_weighs_each_row_by_its_timestep(garments: Tensor) -> None:
    config = tiny_run(T=1000)
    plain, weighted = (trainer_of(replace(config, loss=loss)) for loss in ("simple", "bound"))
    batch = plain.drawn(garments[:8], None, seed=5)
    weights = loss_weights(SCHEDULE, weighted.config)[batch.t].float()
    assert torch.allclose(weighted.losses(batch), weights * plain.losses(batch), rtol=1e-6)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_the_bound_is_the_weighted_error_of_eps_but_for_its_first_term_and_a_constant(
    garments: Tensor, variance: str
) -> None:
    batch = row(garments)
    exact = objective(loss="vlb", variance=variance)(*batch)
    weighted = objective(loss="bound", variance=variance)(*batch)
    q = torch.from_numpy(SCHEDULE.posterior_variance)[T[1:]]
    p = torch.from_numpy(SCHEDULE.beta)[T[1:]] if variance == "fixed_large" else q
    constant = 0.5 * (q / p - 1 - torch.log(q / p))
    assert torch.allclose(exact[1:], weighted[1:] + constant.float(), rtol=2e-4, atol=1e-8)
    assert not torch.isclose(exact[0], weighted[0], rtol=0.1)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned_range"])
def test_what_is_trained_on_is_what_bits_per_dim_counts(
    garments: Tensor, variance: Any, prediction: Any
) -> None:
    batch = row(garments, 2 if variance == "learned_range" else 1)
    trained = objective(loss="vlb", variance=variance, prediction=prediction)(*batch)
    counted = Bound(SCHEDULE, variance=variance, clip=None, prediction=prediction).terms(*batch)
    assert torch.equal(trained, (counted / 64).float())


@pytest.mark.parametrize("scale", [0.0, 0.1, 10.0, 1e4])
def test_every_term_has_a_finite_gradient_however_wrong_the_network_is(
    garments: Tensor, scale: float
) -> None:
    """The outer levels' bins reach to infinity, and garments have many pixels in them."""
    for variance, channels in (("fixed_small", 1), ("fixed_large", 1), ("learned_range", 2)):
        out, x_0, t, eps = row(garments, channels)
        out = (out.detach() + scale * torch.randn(out.shape).clamp(-1, 1)).requires_grad_()
        if channels == 2:  # a variance of e to the 10,000th would be one too many
            out = torch.cat([out[:, :1], out[:, 1:].clamp(-3, 3)], dim=1).detach().requires_grad_()
        grad = gradient(objective(loss="vlb", variance=variance), (out, x_0, t, eps))
        assert torch.isfinite(grad).all(), variance
        assert (grad.flatten(1).abs().sum(dim=1) > 0).all(), "each t learns"


def gradient(loss: Objective, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    out, *rest = batch
    (grad,) = torch.autograd.grad(loss(out, *rest).sum(), out)
    return grad


def test_hybrid_learns_eps_by_the_simple_loss_and_the_variance_by_the_bound(
    garments: Tensor,
) -> None:
    batch = row(garments, 2)
    learned = {"variance": "learned_range"}
    mixed = gradient(objective(loss="hybrid", **learned), batch)
    whole = gradient(objective(loss="vlb", **learned), batch)
    out, x_0, t, eps = batch
    said = out[:, :1].detach().requires_grad_()
    simple = gradient(objective(loss="simple"), (said, x_0, t, eps))
    assert torch.equal(mixed[:, :1], simple)
    bits = 1000 / 1000 / math.log(2)  # T / 1000 of a term in bits
    assert torch.allclose(mixed[:, 1:], bits * whole[:, 1:], rtol=1e-4)
    assert mixed[:, 1:].abs().sum() > 0


def test_the_prior_is_next_to_nothing_for_the_papers_schedule(garments: Tensor) -> None:
    assert 1e-6 < prior_bits(SCHEDULE, from_uint8(garments)) < 1e-4
    short = linear_schedule(10)
    assert prior_bits(short, from_uint8(garments)) > 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "vlb"},
        {"loss": "vlb", "prediction": "v_prediction"},
        {"loss": "vlb", "variance": "learned_range"},
        {"loss": "hybrid", "variance": "learned_range"},
    ],
    ids=str,
)
def test_a_bound_is_trained_on(garments: Tensor, changes: dict[str, Any]) -> None:
    run = config(**changes)
    trainer = trainer_of(replace(run, optimiser=replace(run.optimiser, learning_rate=4e-3)))
    run_on(trainer, garments, 1)
    batch = trainer.drawn(garments[:64], None, seed=0)
    losses = []
    for _ in range(30):
        trainer.adam.zero_grad()
        loss = trainer.losses(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        trainer.adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
