"""The forward process as numbers: betas and what follows from them, in float64.

float64 because ``1 - alpha_bar`` cancels near t = 0: in float32 it is off by 1.7e-4 there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
ScheduleName = Literal["linear", "cosine", "sigmoid"]
LEAST_SIGNAL = 1e-36  # alpha_bar_T; x0_hat is divided by its root, in float32


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I), for t = 0 ... T-1."""

    beta: Float64  # (T,) in (0, 1)
    name: ScheduleName = "linear"
    start: float = 1e-4  # what it was made from; cosine has no use for either
    end: float = 0.02

    def __post_init__(self) -> None:
        if self.beta.ndim != 1 or not len(self.beta):
            raise ValueError(f"beta: a chain is one row of them, got shape {self.beta.shape}")
        if not np.all((self.beta > 0) & (self.beta < 1)):
            raise ValueError("beta: every one must lie strictly between 0 and 1")
        if self.alpha_bar[-1] < LEAST_SIGNAL:
            raise ValueError("beta: they leave no signal in x_T that float32 could tell from none")

    @property
    def T(self) -> int:  # noqa: N802  (the paper's letter)
        """Length of the chain."""
        return len(self.beta)

    @property
    def alpha_bar(self) -> Float64:
        """(T,) the signal left: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps (eq. 4)."""
        return np.asarray(np.cumprod(1.0 - self.beta))

    @property
    def half_log_snr(self) -> Float64:
        """(T,) lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), falling."""
        alpha_bar = self.alpha_bar
        return np.asarray(0.5 * np.log(alpha_bar / (1.0 - alpha_bar)))

    @property
    def posterior_variance(self) -> Float64:
        """(T,) beta-tilde of eq. 7; 0 at t = 0, where x_0 is known."""
        alpha_bar = self.alpha_bar
        alpha_bar_prev = np.append(1.0, alpha_bar[:-1])
        return self.beta * (1.0 - alpha_bar_prev) / (1.0 - alpha_bar)


def linear_schedule(T: int = 1000, *, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:  # noqa: N803
    """The paper's schedule: betas evenly spaced from `start` to `end`, both included."""
    return NoiseSchedule(np.linspace(start, end, T, dtype=np.float64), "linear", start, end)


def cosine_schedule(T: int = 1000) -> NoiseSchedule:  # noqa: N803
    """Nichol & Dhariwal 2021, eq. 17: alpha_bar = cos^2((t/T + s) / (1 + s) pi/2), s = 0.008.

    beta is at most 0.999; of T = 1000 that is one entry, the last.
    """
    at = np.arange(T + 1, dtype=np.float64) / T
    signal = np.cos((at + 0.008) / 1.008 * np.pi / 2) ** 2
    return NoiseSchedule(np.minimum(1.0 - signal[1:] / signal[:-1], 0.999), "cosine")


def sigmoid_schedule(T: int = 1000, *, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:  # noqa: N803
    """GeoDiff's (Xu et al. 2022): betas rise from near `start` to near `end` along a logistic."""
    logistic = 1.0 / (1.0 + np.exp(-np.linspace(-6.0, 6.0, T, dtype=np.float64)))
    return NoiseSchedule(logistic * (end - start) + start, "sigmoid", start, end)


def named_schedule(name: ScheduleName, T: int, *, start: float, end: float) -> NoiseSchedule:  # noqa: N803
    """The schedule of that name."""
    makers: dict[ScheduleName, Callable[[], NoiseSchedule]] = {
        "linear": lambda: linear_schedule(T, start=start, end=end),
        "cosine": lambda: cosine_schedule(T),
        "sigmoid": lambda: sigmoid_schedule(T, start=start, end=end),
    }
    return makers[name]()
