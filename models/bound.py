"""The variational bound on -log p(x_0), in bits per dimension (eq. 5, 13): how well a model knows.

    L = L_T + sum over t of L_t,   L_t = KL(q(x_t-1 | x_t, x_0) || p(x_t-1 | x_t)),  L_0 a decoder

Here t = 0 ... T-1 are indices of the schedule: the term of t = 0 is the decoder, the rest are KLs
of Gaussians. All of it is float64 but for the network, whose output it is given.
"""

import math

import torch
from torch import Tensor

from models.diffusion import log_variance, per_row, q_sample
from models.plan import Prediction, Variance, ddpm_plan
from models.schedule import NoiseSchedule

HALF_BIN = 1.0 / 255.0  # of one level, where all 256 span [-1, 1]


class Bound:
    """The terms of a chain's bound. `variance` and `clip` are those of its sampler.

    Differentiable in what the network said, so that a bound can be trained on as it is measured.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        *,
        variance: Variance = "fixed_small",
        clip: float | None = 1.0,
        prediction: Prediction = "epsilon",
        device: torch.device | str = "cpu",
    ) -> None:
        """Raises ValueError where the chain is too short to have a variance at its end: T < 2."""
        if schedule.T < 2:
            raise ValueError(f"T: a bound needs 2 steps at least, got {schedule.T}")
        self.T = schedule.T
        plan = ddpm_plan(schedule, schedule.T, variance=variance, clip=clip, prediction=prediction)
        limits = ddpm_plan(schedule, schedule.T, variance="learned_range").log_range
        assert limits is not None
        self._plan, self._log_range = (
            torch.from_numpy(table[::-1].copy()).to(device) for table in (plan.table, limits)
        )  # by t
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar).to(device)
        self._learned = variance == "learned_range"
        self._log_fixed = self._log_range[:, 0].clone()
        if variance == "fixed_large":  # its own at t = 0 is beta_0; so in the paper's code
            self._log_fixed[1:] = self._log_range[1:, 1]

    def prior(self, x_0: Tensor) -> Tensor:
        """(B,) nats: L_T = KL(q(x_T | x_0) || N(0, I)); no network can change it."""
        signal = self._alpha_bar[-1]
        kl: Tensor = signal * x_0.double() ** 2 - signal - torch.log1p(-signal)
        return 0.5 * kl.flatten(1).sum(dim=1)

    def noised(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t, float64 (B, C, H, W): what the network has to look at."""
        return q_sample(x_0.double(), self._alpha_bar[t], eps.double())

    def terms(self, out: Tensor, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """(B,) nats: each row's term of its own t, `out` being what the network said of x_t.

        x_0 and eps (B, C, H, W), x_0 on the levels; out has 2C channels where it tells variances.
        """
        x_0, x_t, said = x_0.double(), self.noised(x_0, t, eps), out.double()
        said, log_p = self._split(said, t)
        _, r1, r2, k, _, b, *_ = (per_row(column) for column in self._plan[t].unbind(1))
        x0_hat = torch.clamp(r1 * x_t - r2 * said, -k, k)
        log_q = per_row(self._log_range[t, 0])
        # Both means are a x_t + b x_0, of the image and of the guess.
        kl = _kl(b * (x_0 - x0_hat), log_q, log_p)
        decoder = -discretised_log_prob(x_0, x0_hat, torch.exp(0.5 * log_p))
        nats: Tensor = torch.where(per_row(t) == 0, decoder, kl).flatten(1).sum(dim=1)
        return nats

    def _split(self, said: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """What was said of x_0, and the logs of the variances, the network's or fixed."""
        if not self._learned:
            return said, per_row(self._log_fixed[t])
        said, v = said.chunk(2, dim=1)
        return said, log_variance(v, self._log_range[t])


def _kl(difference: Tensor, log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL of two Gaussians of these log variances whose means differ by so much, in nats."""
    ratio = log_q - log_p
    return 0.5 * (difference**2 * torch.exp(-log_p) + torch.exp(ratio) - 1.0 - ratio)


def discretised_log_prob(x: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """log of what N(mean, sigma^2) has in x's bin (eq. 13); the outer bins reach to infinity.

    x lies on the 256 levels of [-1, 1]. Of a bin far out in a tail the difference of two cdfs would
    be 0: both are taken on the side where they are small, as logarithms.
    """
    low = torch.where(x < -1.0 + HALF_BIN, -math.inf, (x - HALF_BIN - mean) / sigma)
    high = torch.where(x > 1.0 - HALF_BIN, math.inf, (x + HALF_BIN - mean) / sigma)
    right = low > 0
    low, high = torch.where(right, -high, low), torch.where(right, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    log_prob: Tensor = log_high + torch.log1p(-torch.exp(log_low - log_high))
    return log_prob
