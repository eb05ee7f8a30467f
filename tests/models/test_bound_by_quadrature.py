"""The bound of one pixel and six steps, against integrals over grids that share no formula with it.

The bound comes from eq. 3 as it stands, whose terms are of neighbouring states, not from the KLs of
eq. 5 that are counted; and the model's own -log p(x_0), from all its chains at once, lies below it.
State i, of alpha_bar[i], is the paper's x_(i+1). All in nats.
"""

import math
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bound import Bound
from models.likelihood import BitsPerDim, bits_per_dim
from models.plan import FixedVariance
from models.schedule import linear_schedule

Grid = NDArray[np.float64]
T = 6
BETA = np.linspace(0.05, 0.5, T)
ABAR = np.cumprod(1.0 - BETA)
STEP = 0.02
X = np.arange(-7.0, 7.0, STEP)  # every state's grid; a sum over it, by STEP, is the integral
HALF = 1.0 / 255.0
VARIANCES: tuple[FixedVariance, ...] = ("fixed_small", "fixed_large")


def said(x_t: Tensor, t: Tensor) -> Tensor:
    """eps by hand, wrong enough for x0_hat to be clipped on both sides, other at every t."""
    return 0.7 * x_t + 0.2 * torch.sin(3.0 * x_t + t.reshape(-1, 1, 1, 1))


def gaussian(x: Grid, mean: Grid | float, variance: float) -> Grid:
    return np.asarray(np.exp(log_gaussian(x, mean, variance)))


def log_gaussian(x: Grid, mean: Grid | float, variance: float) -> Grid:
    return np.asarray(-0.5 * ((x - mean) ** 2 / variance + math.log(2.0 * math.pi * variance)))


def posterior_variance(i: int) -> float:
    return float(BETA[i] * (1.0 - ABAR[i - 1]) / (1.0 - ABAR[i]))


def chain_variance(i: int, variance: FixedVariance) -> float:
    """Of p(state i-1 | state i); that of state 1 is the decoder's as well, both are small there."""
    small = posterior_variance(max(i, 1))
    return float(BETA[i]) if variance == "fixed_large" and i > 0 else small


def x0_hat(i: int) -> Grid:
    """At every state i of the grid."""
    states = torch.from_numpy(X).reshape(-1, 1, 1, 1)
    eps = said(states, torch.full((len(X),), i)).flatten().numpy()
    guess = (X - math.sqrt(1.0 - ABAR[i]) * eps) / math.sqrt(ABAR[i])
    return np.asarray(np.clip(guess, -1.0, 1.0))


def chain_mean(i: int) -> Grid:
    """Of p(state i-1 | state i): eq. 7 at x0_hat."""
    of_x0 = math.sqrt(ABAR[i - 1]) * BETA[i] / (1.0 - ABAR[i])
    of_state = math.sqrt(1.0 - BETA[i]) * (1.0 - ABAR[i - 1]) / (1.0 - ABAR[i])
    return np.asarray(of_x0 * x0_hat(i) + of_state * X)


def upper_tail(z: Grid) -> Grid:
    return np.asarray([0.5 * math.erfc(each / math.sqrt(2.0)) for each in z])


def decoder(level: int, variance: FixedVariance) -> Grid:
    """P(level | state 0) at every state of the grid, from whichever tail is the smaller."""
    x, sigma = level / 127.5 - 1.0, math.sqrt(chain_variance(0, variance))
    low = (x - HALF - x0_hat(0)) / sigma if level > 0 else np.full_like(X, -np.inf)
    high = (x + HALF - x0_hat(0)) / sigma if level < 255 else np.full_like(X, np.inf)
    above, below = upper_tail(low) - upper_tail(high), upper_tail(-high) - upper_tail(-low)
    return np.where(low > 0.0, above, below)


def bound_of_eq_3(level: int, variance: FixedVariance) -> float:
    """E_q of -log p(state T-1) - sum of log p(state i-1 | state i) / q(state i | state i-1)."""
    x = level / 127.5 - 1.0
    at = [gaussian(X, math.sqrt(abar) * x, float(1.0 - abar)) for abar in ABAR]
    total = -float((at[-1] * log_gaussian(X, 0.0, 1.0)).sum() * STEP)
    total -= float((at[0] * np.log(decoder(level, variance))).sum() * STEP)
    total -= 0.5 * float((np.log(2.0 * math.pi * math.e * BETA)).sum())  # E log q of every step
    for i in range(1, T):
        forward = gaussian(X[None], math.sqrt(1.0 - BETA[i]) * X[:, None], float(BETA[i]))
        joint = at[i - 1][:, None] * forward  # of states i-1 and i
        log_p = log_gaussian(X[:, None], chain_mean(i)[None], chain_variance(i, variance))
        total -= float((joint * log_p).sum() * STEP**2)
    return total


@cache
def first_states(variance: FixedVariance) -> Grid:
    """The density of state 0 where the chain began with noise."""
    density = gaussian(X, 0.0, 1.0)
    for i in range(T - 1, 0, -1):
        back = gaussian(X[:, None], chain_mean(i)[None], chain_variance(i, variance))
        density = back @ density * STEP
    return density


def log_likelihood(level: int, variance: FixedVariance) -> float:
    chances = first_states(variance) * decoder(level, variance)
    return math.log(float(chances.sum() * STEP))


def counted(level: int, variance: FixedVariance, images: int = 40_000) -> BitsPerDim:
    schedule = linear_schedule(T, start=BETA[0], end=BETA[-1])
    pixels = torch.full((images, 1, 1, 1), level, dtype=torch.uint8)
    return bits_per_dim(said, Bound(schedule, variance=variance), pixels, batch=8192)


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_grids_are_fine_enough_for_all_probability_to_be_there(
    variance: FixedVariance,
) -> None:
    density = first_states(variance)
    assert density.sum() * STEP == pytest.approx(1.0, abs=1e-9)
    whole = sum(math.exp(log_likelihood(level, variance)) for level in range(256))
    assert whole == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("variance", VARIANCES)
def test_the_bound_is_that_of_eq_3_and_above_the_models_own_likelihood(
    variance: FixedVariance, level: int
) -> None:
    found, expected = counted(level, variance), bound_of_eq_3(level, variance)
    assert found.standard_error is not None
    nats, error = (math.log(2.0) * value for value in (found.total, found.standard_error))
    assert error < 0.005 * expected
    assert nats == pytest.approx(expected, abs=4.0 * error)
    assert min(expected, nats) > -log_likelihood(level, variance)
