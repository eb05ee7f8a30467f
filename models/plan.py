"""A sampler is a table: one row of coefficients for each step of its chain.

Every sampler served is linear in what it remembers, so one update runs them all:

    out    = net(x, t)                              eps, v or x_0, as the network was trained
    x0_hat = clamp(r1 * x - r2 * out, -k, k)
    x'     = a * x + b * x0_hat + e * out + c * x0_hat_prev + s * z

`s` is 0 in the last row of every plan: the last step adds no noise, whatever the variance. A chain
may start midway, at `start_t` = 1 ... T: then x is x_t of the paper's t, not x_T.

Where the network tells the variance as well, `s` only says which steps add noise at all; how much
lies within the plan's `log_range`, each pixel's own (`models.diffusion.learned_step`).
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from models.schedule import Float64, NoiseSchedule
from models.spacing import Spacing, Timesteps, timesteps

REVISION = 5  # of our own arithmetic: one more whenever a change of code changes a pixel
COLUMNS = ("t", "r1", "r2", "k", "a", "b", "e", "c", "s")
FixedVariance = Literal["fixed_small", "fixed_large"]
Variance = Literal[FixedVariance, "learned_range"]
Prediction = Literal["epsilon", "sample", "v_prediction"]  # diffusers' names
LEAST_LAMBDA = -5.1  # DPM-Solver's error grows without bound where the signal vanishes


@dataclass(frozen=True, eq=False)
class Plan:
    """The reverse chain of one sampler: position 0 is the first step taken (the noisiest)."""

    table: Float64  # (S, 9), columns as in COLUMNS
    alpha_bar: Float64  # (S,) the signal left in x before each step
    log_range: Float64 | None = None  # (S, 2) the least and most log of a learned variance

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
    spacing: Spacing = "leading",
    steps_offset: int = 0,
    start_t: int | None = None,
    prediction: Prediction = "epsilon",
) -> Plan:
    """Ancestral sampling (algorithm 2): x' ~ N(posterior mean of eq. 7 at x0_hat, sigma^2).

    A chain that leaves steps out uses the betas of the strided chain, 1 - abar_t / abar_prev.
    learned_range lets the network choose between both fixed variances (Nichol & Dhariwal 2021).
    Raises ValueError for fixed_large on such a chain: its noise swamps the image (FID 367 at
    10 steps on CIFAR-10, against 41 for fixed_small).
    """
    if variance not in get_args(Variance):
        raise ValueError(f"variance: {variance!r} is none of {get_args(Variance)}")
    levels = _levels(schedule, start_t)
    if variance == "fixed_large" and steps < levels:
        raise ValueError("variance: fixed_large needs the full chain; use fixed_small")
    t = timesteps(levels, steps, spacing, steps_offset=steps_offset)
    abar_t, abar_prev = _signal(schedule, t)
    alpha = abar_t / abar_prev
    beta = 1.0 - alpha
    small = beta * (1.0 - abar_prev) / (1.0 - abar_t)
    plan = _assemble(
        schedule,
        t,
        clip,
        prediction,
        a=np.sqrt(alpha) * (1.0 - abar_prev) / (1.0 - abar_t),
        b=np.sqrt(abar_prev) * beta / (1.0 - abar_t),
        s=np.sqrt(beta if variance == "fixed_large" else small),
    )
    return replace(plan, log_range=_log_range(small, beta)) if variance == "learned_range" else plan


def ddim_plan(
    schedule: NoiseSchedule,
    steps: int,
    *,
    eta: float = 0.0,
    clip: float | None = 1.0,
    spacing: Spacing = "leading",
    steps_offset: int = 0,
    set_alpha_to_one: bool = True,
    rederive_eps: bool = True,
    start_t: int | None = None,
    prediction: Prediction = "epsilon",
) -> Plan:
    """DDIM (Song et al. 2021, eq. 12): eta = 0 is deterministic, eta = 1 has DDPM's variance.

    `set_alpha_to_one` takes abar = 1 after the last step, else abar_0. `rederive_eps` computes
    eps again from the clipped x0_hat: since eps = (x - sqrt(abar) x0_hat) / sqrt(1 - abar), that
    only moves weight from e to a and b. Without it, as is diffusers' default
    (use_clipped_model_output), x' is of an x0_hat and an eps that do not belong together.

    abar_prev is that of the next timestep in the list. diffusers steps by T // S instead, which is
    the same only where T / S is whole and the spacing leading or trailing.
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta: must be between 0 and 1, got {eta}")
    t = timesteps(_levels(schedule, start_t), steps, spacing, steps_offset=steps_offset)
    final = 1.0 if set_alpha_to_one else float(schedule.alpha_bar[0])
    abar_t, abar_prev = _signal(schedule, t, final)
    sigma_sq = eta**2 * (1.0 - abar_prev) / (1.0 - abar_t) * (1.0 - abar_t / abar_prev)
    a, b, e = np.zeros(steps), np.sqrt(abar_prev), np.sqrt(1.0 - abar_prev - sigma_sq)
    if rederive_eps:
        a, b = e / np.sqrt(1.0 - abar_t), b - e * np.sqrt(abar_t / (1.0 - abar_t))
        e = np.zeros(steps)
    return _assemble(schedule, t, clip, prediction, a=a, b=b, e=e, s=np.sqrt(sigma_sq))


def dpmpp_2m_plan(
    schedule: NoiseSchedule,
    steps: int,
    *,
    clip: float | None = None,
    spacing: Spacing = "linspace",
    steps_offset: int = 0,
    start_t: int | None = None,
    prediction: Prediction = "epsilon",
) -> Plan:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022, algorithm 2): second order in lambda, log(a/s).

        x' = (s'/s) x + w x0_hat + w / 2r (x0_hat - x0_hat_prev),   w = a' (1 - exp(-h)),
        h = lambda' - lambda,  r = h_prev / h,  a = sqrt(abar),  s = sqrt(1 - abar)

    The first step knows no x0_hat_prev, and the last goes to s = 0, where h is infinite: both are
    of first order. Since the last gives x0_hat itself, one point more than `steps` is spaced and
    t = 0 dropped, but for trailing spacing and the full chain. Unclipped, as published. Timesteps
    of lambda below -5.1 are left out where there are enough others: cosine schedules have some.
    """
    levels = _levels(schedule, start_t)
    solvable = int(np.sum(schedule.half_log_snr[:levels] >= LEAST_LAMBDA))
    levels = max(solvable, min(steps, levels))
    extra = int(spacing != "trailing" and 0 < steps < levels)
    t = timesteps(levels, steps + extra, spacing, steps_offset=steps_offset)[:steps]
    abar_t, abar_next = _signal(schedule, t)
    a, s, a_next, s_next = (np.sqrt(v) for v in (abar_t, 1.0 - abar_t, abar_next, 1.0 - abar_next))
    w = a_next - s_next * a / s  # exp(-h) = (s'/a') / (s/a)
    log_snr = np.log(a / s)
    second = np.zeros(len(t))  # w / 2r
    h = np.diff(log_snr)
    second[1:-1] = w[1:-1] * h[1:] / (2.0 * h[:-1])
    return _assemble(schedule, t, clip, prediction, a=s_next / s, b=w + second, c=-second)


def _levels(schedule: NoiseSchedule, start_t: int | None) -> int:
    """How many timesteps there are up to the start of the chain."""
    if start_t is None:
        return schedule.T
    if not 1 <= start_t <= schedule.T:
        raise ValueError(f"t: must be between 1 and {schedule.T}, got {start_t}")
    return start_t


def _signal(schedule: NoiseSchedule, t: Timesteps, final: float = 1.0) -> tuple[Float64, Float64]:
    """abar at every timestep, and at the one the step leads to: `final` after the last."""
    abar_t = schedule.alpha_bar[t]
    return abar_t, np.append(abar_t[1:], final)


def _log_range(small: Float64, beta: Float64) -> Float64:
    """(S, 2) logs of both fixed variances; the last small one is 0, the one before stands in."""
    small = np.append(small[:-1], (small[-2:-1] if len(small) > 1 else beta))
    return np.log(np.column_stack([small, beta]))


def _assemble(
    schedule: NoiseSchedule,
    t: Timesteps,
    clip: float | None,
    prediction: Prediction,
    *,
    a: Float64,
    b: Float64,
    e: Float64 | float = 0.0,
    c: Float64 | float = 0.0,
    s: Float64 | float = 0.0,
) -> Plan:
    """Fill in the prediction of x_0 and the clip; `a` and `e` are given for eps and x."""
    if clip is not None and not clip > 0.0:
        raise ValueError(f"clip: must be positive, or None for no clipping; got {clip}")
    abar_t = schedule.alpha_bar[t]
    r1, r2, of_x, of_out = _read(prediction, abar_t)
    k = np.inf if clip is None else clip
    columns = (t, r1, r2, k, a + e * of_x, b, e * of_out, c, s)
    table = np.column_stack([np.broadcast_to(column, len(t)) for column in columns])
    table[-1, COLUMNS.index("s")] = 0.0
    return Plan(table, abar_t)


def _read(prediction: Prediction, abar_t: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """How the output tells x_0 and eps: x_0 = r1 x - r2 out, eps = of_x x + of_out out.

    eps: eq. 15. v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans & Ho 2022). sample: x_0 itself.
    """
    signal, noise = np.sqrt(abar_t), np.sqrt(1.0 - abar_t)
    zero, one = np.zeros_like(signal), np.ones_like(signal)
    if prediction == "epsilon":
        return 1.0 / signal, np.sqrt(1.0 / abar_t - 1.0), zero, one
    if prediction == "v_prediction":
        return signal, noise, noise, signal
    return zero, -one, 1.0 / noise, -signal / noise
