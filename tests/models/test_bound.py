"""The bound against what is known: a distribution on three levels, and its optimal denoiser."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.bits_per_dim import main
from models.bound import Bound, discretised_log_prob
from models.diffusion import per_row
from models.likelihood import _chosen, _edges, bits_per_dim
from models.pixels import from_uint8
from models.schedule import NoiseSchedule, cosine_schedule, linear_schedule
from tests.models.tiny import FASHION, tiny_net

LEVELS = torch.tensor([20, 128, 200], dtype=torch.uint8)
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
ENTROPY = float(-(SHARES * SHARES.log2()).sum())  # bits; one pixel, so also bits per dimension
FINE = linear_schedule(4000, start=2.5e-5, end=0.005)


class Knows:
    """E[eps | x_t], exactly, where x_0 is one of three levels."""

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.alpha_bar = torch.from_numpy(schedule.alpha_bar)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        abar, values = per_row(self.alpha_bar[t]), from_uint8(LEVELS).double()
        distance = x_t.double()[..., None] - abar.sqrt()[..., None] * values
        odds = SHARES.log() - 0.5 * distance**2 / (1 - abar[..., None])
        x_0 = (torch.softmax(odds, dim=-1) * values).sum(dim=-1)
        return (x_t.double() - abar.sqrt() * x_0) / (1 - abar).sqrt()


def drawn(count: int) -> Tensor:
    dice = torch.Generator().manual_seed(0)
    return LEVELS[torch.multinomial(SHARES, count, replacement=True, generator=dice)].reshape(
        -1, 1, 1, 1
    )


def bits(schedule: NoiseSchedule, count: int = 1000, **options: Any) -> Any:
    given = {"timesteps": 60} | options
    return bits_per_dim(Knows(schedule), Bound(schedule), drawn(count), batch=4096, **given)


def test_the_bound_is_above_the_truth_and_nears_it_with_finer_steps() -> None:
    coarse, fine = bits(linear_schedule()), bits(FINE)
    assert coarse.total > fine.total > ENTROPY
    assert fine.total - ENTROPY < 0.5 * (coarse.total - ENTROPY)
    assert bits(cosine_schedule()).total > ENTROPY


def test_a_sample_of_the_timesteps_is_right_on_average_and_says_how_far_off_it_is() -> None:
    exact = [bits(linear_schedule(), 300, timesteps=None, seed=seed) for seed in range(4)]
    few = [bits(linear_schedule(), 300, timesteps=20, seed=seed) for seed in range(40)]
    truth, totals = np.mean([found.total for found in exact]), [found.total for found in few]
    assert np.mean(totals) == pytest.approx(truth, abs=4 * np.std(totals) / math.sqrt(40))
    assert np.std(totals) < few[0].standard_error < 5 * np.std(totals)
    assert (exact[0].timesteps, few[0].timesteps) == (1000, 20)
    assert few[0].prior == exact[0].prior


@settings(deadline=None)
@given(T=st.integers(2, 300), data=st.data())
def test_the_shares_of_the_timesteps_cover_all_but_the_first(T: int, data: Any) -> None:  # noqa: N803
    count = data.draw(st.integers(2, T))
    t, weight = _chosen(T, count, 3, seed=0)
    edges = _edges(T, count)
    assert (edges[0], edges[-1]) == (1, T)
    assert (np.diff(edges) >= 1).all()
    assert weight[0].tolist() == [1, *np.diff(edges)]
    assert (t[:, 0] == 0).all()
    assert (edges[:-1] <= t[:, 1:].numpy()).all()
    assert (t[:, 1:].numpy() < edges[1:]).all()


def test_who_knows_less_needs_more_bits() -> None:
    schedule = linear_schedule()
    knows = Knows(schedule)
    worse = bits_per_dim(
        lambda x_t, t: 0.5 * knows(x_t, t), Bound(schedule), drawn(300), timesteps=60, batch=4096
    )
    assert worse.total > bits(schedule, 300).total + 1.0


def test_a_decoder_shares_out_all_of_its_probability() -> None:
    x = from_uint8(torch.arange(256, dtype=torch.uint8)).double()
    for mean, sigma in [(0.0, 0.01), (-1.0, 0.02), (0.3, 2.0), (1.5, 0.1)]:
        log_prob = discretised_log_prob(x, torch.tensor(mean), torch.tensor(sigma).double())
        assert torch.isfinite(log_prob).all(), "also forty sigmas away"
        assert float(log_prob.exp().sum()) == pytest.approx(1.0, rel=1e-5)  # levels are float32


def test_far_in_a_tail_a_bin_has_what_the_density_says() -> None:
    sigma, far = torch.tensor(0.01).double(), torch.tensor(200 / 127.5 - 1).double()
    for mean in (far - 0.5, far + 0.5):
        found = float(discretised_log_prob(far, mean, sigma))
        points = far + torch.linspace(-1, 1, 20_001, dtype=torch.float64) / 255
        density = -0.5 * ((points - mean) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
        assert found == pytest.approx(
            float(torch.logsumexp(density, 0) + math.log(2 / 255 / 20_000)), rel=1e-4
        )


def test_a_kl_is_that_of_the_two_gaussians() -> None:
    """By hand, of one pixel at t = 500, against a network that says nothing."""
    schedule, t = linear_schedule(), 500
    bound = Bound(schedule, variance="fixed_large")
    x_0, eps = torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), -0.3)
    abar, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    beta = schedule.beta[t]
    x_t = abar**0.5 * float(x_0) + (1 - abar) ** 0.5 * float(eps)
    guess = min(1.0, max(-1.0, x_t / abar**0.5))
    gap = before**0.5 * beta / (1 - abar) * (float(x_0) - guess)
    q = beta * (1 - before) / (1 - abar)
    expected = 0.5 * (math.log(beta / q) + (q + gap**2) / beta - 1)
    nats = bound.terms(torch.zeros_like(x_0), x_0, torch.tensor([t]), eps)
    assert float(nats) == pytest.approx(expected, rel=1e-6)


def test_the_prior_is_that_of_the_last_noise() -> None:
    schedule = linear_schedule(10, start=0.01, end=0.3)
    abar = schedule.alpha_bar[-1]
    expected = 0.5 * (abar * 0.5**2 - abar - math.log(1 - abar))
    bound = Bound(schedule)
    assert float(bound.prior(torch.full((1, 1, 1, 1), 0.5))) == pytest.approx(expected, rel=1e-9)


def test_an_images_term_does_not_tell_its_batch() -> None:
    schedule = linear_schedule()
    small, large = (
        bits_per_dim(Knows(schedule), Bound(schedule), drawn(20), timesteps=9, batch=batch)
        for batch in (7, 64)
    )
    assert small.total == pytest.approx(large.total, rel=1e-12)


@pytest.mark.parametrize("timesteps", [0, 1, 1001])
def test_a_number_of_timesteps_there_is_not_is_refused(timesteps: int) -> None:
    with pytest.raises(ValueError, match="timesteps: must be between 2 and 1000"):
        bits(linear_schedule(), 4, timesteps=timesteps)


def test_the_command_reports_as_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], garments: Tensor
) -> None:
    np.savez(tmp_path / "eight.npz", images=garments.numpy())
    data = ["--data", str(tmp_path / "eight.npz"), "--n", "4", "--timesteps", "5"]
    assert main([str(folder), *data]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["images"] == 4
    assert report["bits_per_dim"] == report["total"] > 0
    assert len(report["sha256"]) == 64


def test_images_of_another_size_are_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--data", str(FASHION)]) == 2
    assert "no images of the model's (1, 8, 8)" in capsys.readouterr().err


def test_of_pure_noise_nobody_can_know_more_than_its_eight_bits() -> None:
    noise = torch.randint(0, 256, (8, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    bound, pixels = Bound(linear_schedule()), noise.to(torch.uint8)
    assert bits_per_dim(tiny_net(), bound, pixels, timesteps=30).total > 8.0
