"""A sampler is a table: one row of coefficients for each step of its chain.

Every sampler served is linear in what it remembers, so one update runs them all:

    eps    = net(x, t)
    x0_hat = clamp(r1 * x - r2 * eps, -k, k)
    x'     = a * x + b * x0_hat + e * eps + c * x0_hat_prev + s * z

`s` is 0 in the last row of every plan: the last step adds no noise, whatever the variance.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.schedule import Float64, NoiseSchedule

COLUMNS = ("t", "r1", "r2", "k", "a", "b", "e", "c", "s")
Variance = Literal["fixed_small", "fixed_large"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The reverse chain of one sampler: position 0 is the first step taken (the noisiest)."""

    table: Float64  # (S, 9), columns as in COLUMNS

    @property
    def steps(self) -> int:
        """S, the number of network evaluations."""
        return len(self.table)

    @property
    def stochastic(self) -> bool:
        """Whether any step adds noise."""
        return bool(np.any(self.column("s") != 0.0))

    def column(self, name: str) -> Float64:
        """(S,) one coefficient over the chain."""
        return np.asarray(self.table[:, COLUMNS.index(name)])


def ddpm_plan(
    schedule: NoiseSchedule,
    steps: int,
    *,
    variance: Variance = "fixed_small",
    clip: float | None = 1.0,
    steps_offset: int = 0,
) -> Plan:
    """Ancestral sampling (algorithm 2): x' ~ N(posterior mean of eq. 7 at x0_hat, sigma^2).

    A chain shorter than T uses the betas of the strided chain, beta_t = 1 - abar_t / abar_prev.
    Raises ValueError for fixed_large on such a chain: its noise swamps the image (FID 367 at
    10 steps on CIFAR-10, against 41 for fixed_small).
    """
    if variance not in get_args(Variance):
        raise ValueError(f"variance: {variance!r} is none of {get_args(Variance)}")
    if variance == "fixed_large" and steps < schedule.T:
        raise ValueError("variance: fixed_large needs the full chain; use fixed_small")
    t = leading_timesteps(schedule.T, steps, steps_offset=steps_offset)
    abar_t = schedule.alpha_bar[t]
    abar_prev = np.append(schedule.alpha_bar[t[1:]], 1.0)
    alpha = abar_t / abar_prev
    beta = 1.0 - alpha
    sigma_sq = beta if variance == "fixed_large" else beta * (1.0 - abar_prev) / (1.0 - abar_t)
    return _assemble(
        schedule,
        t,
        clip,
        a=np.sqrt(alpha) * (1.0 - abar_prev) / (1.0 - abar_t),
        b=np.sqrt(abar_prev) * beta / (1.0 - abar_t),
        s=np.sqrt(sigma_sq),
    )


def ddim_plan(
    schedule: NoiseSchedule,
    steps: int,
    *,
    eta: float = 0.0,
    clip: float | None = 1.0,
    steps_offset: int = 0,
    set_alpha_to_one: bool = True,
    rederive_eps: bool = False,
) -> Plan:
    """DDIM (Song et al. 2021, eq. 12): eta = 0 is deterministic, eta = 1 has DDPM's variance.

    `set_alpha_to_one` takes abar = 1 after the last step, else abar_0. `rederive_eps` computes
    eps again from the clipped x0_hat (diffusers' use_clipped_model_output): since
    eps = (x - sqrt(abar) x0_hat) / sqrt(1 - abar), that only moves weight from e to a and b.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta: must be between 0 and 1, got {eta}")
    t = leading_timesteps(schedule.T, steps, steps_offset=steps_offset)
    final = 1.0 if set_alpha_to_one else schedule.alpha_bar[0]
    abar_t = schedule.alpha_bar[t]
    abar_prev = _alpha_bar_before(schedule, t - schedule.T // steps, final)
    sigma_sq = eta**2 * (1.0 - abar_prev) / (1.0 - abar_t) * (1.0 - abar_t / abar_prev)
    a, b, e = np.zeros(steps), np.sqrt(abar_prev), np.sqrt(1.0 - abar_prev - sigma_sq)
    if rederive_eps:
        a, b = e / np.sqrt(1.0 - abar_t), b - e * np.sqrt(abar_t / (1.0 - abar_t))
        e = np.zeros(steps)
    return _assemble(schedule, t, clip, a=a, b=b, e=e, s=np.sqrt(sigma_sq))


def leading_timesteps(T: int, steps: int, *, steps_offset: int = 0) -> NDArray[np.int64]:  # noqa: N803
    """(S,) descending multiples of T // steps, ending at `steps_offset`; e.g. 980, 960 ... 0."""
    if not 1 <= steps <= T:
        raise ValueError(f"steps: must be between 1 and {T}, got {steps}")
    t = np.arange(steps, dtype=np.int64)[::-1] * (T // steps) + steps_offset
    if steps_offset < 0 or t[0] >= T:
        raise ValueError(f"steps_offset: {steps_offset} puts steps outside 0 ... {T - 1}")
    return t


def _alpha_bar_before(schedule: NoiseSchedule, t_prev: NDArray[np.int64], final: float) -> Float64:
    """abar at t_prev, and `final` where t_prev lies before the chain's start."""
    return np.where(t_prev >= 0, schedule.alpha_bar[np.maximum(t_prev, 0)], final)


def _assemble(
    schedule: NoiseSchedule, t: NDArray[np.int64], clip: float | None, **columns: Float64
) -> Plan:
    """Fill in the eps-prediction of x_0 (eq. 15) and the clip; columns not given are 0."""
    if clip is not None and not clip > 0.0:
        raise ValueError(f"clip: must be positive, or None for no clipping; got {clip}")
    abar_t = schedule.alpha_bar[t]
    table = np.zeros((len(t), len(COLUMNS)))
    columns |= {
        "t": t.astype(np.float64),
        "r1": 1.0 / np.sqrt(abar_t),
        "r2": np.sqrt(1.0 / abar_t - 1.0),
        "k": np.full(len(t), np.inf if clip is None else clip),
    }
    for name, values in columns.items():
        table[:, COLUMNS.index(name)] = values
    table[-1, COLUMNS.index("s")] = 0.0
    return Plan(table)
