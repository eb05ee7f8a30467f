"""The variational bound on -log p(x_0), in bits per dimension (eq. 5, 13): how well a model knows.

    L = L_T + sum over t of L_t,   L_t = KL(q(x_t-1 | x_t, x_0) || p(x_t-1 | x_t)),  L_0 a decoder

Here t = 0 ... T-1 are indices of the schedule: the term of t = 0 is the decoder, the rest are KLs
of Gaussians. All of it is float64 but for the network.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.diffusion import Denoiser, per_row, q_sample
from models.noise import Purpose, normal
from models.pixels import from_uint8
from models.plan import Prediction, Variance, ddpm_plan
from models.schedule import NoiseSchedule

HALF_BIN = 1.0 / 255.0  # of one level, where all 256 span [-1, 1]


@dataclass(frozen=True)
class BitsPerDim:
    """Means over images. `standard_error` holds what images and chosen timesteps scatter by."""

    total: float
    standard_error: float
    prior: float  # L_T
    decoder: float  # the term of t = 0
    images: int
    timesteps: int  # evaluated of each image


class Bound:
    """The terms of a network's bound. `variance` and `clip` are those of its sampler."""

    def __init__(
        self,
        net: Denoiser,
        schedule: NoiseSchedule,
        *,
        variance: Variance = "fixed_small",
        clip: float | None = 1.0,
        prediction: Prediction = "epsilon",
    ) -> None:
        """Raises ValueError where the chain is too short to have a variance at its end: T < 2."""
        if schedule.T < 2:
            raise ValueError(f"T: a bound needs 2 steps at least, got {schedule.T}")
        self._net, self.T = net, schedule.T
        plan = ddpm_plan(schedule, schedule.T, variance=variance, clip=clip, prediction=prediction)
        self._plan = torch.from_numpy(plan.table[::-1].copy())  # by t
        self._alpha_bar = torch.from_numpy(schedule.alpha_bar)
        posterior = torch.from_numpy(schedule.posterior_variance)
        sigma_sq = torch.from_numpy(schedule.beta) if variance == "fixed_large" else posterior
        self._posterior, self._sigma_sq = posterior.clone(), sigma_sq.clone()
        self._sigma_sq[0] = posterior[1]  # its own is 0 or beta_0; so in the paper's code

    def prior(self, x_0: Tensor) -> Tensor:
        """(B,) nats: L_T = KL(q(x_T | x_0) || N(0, I)); no network can change it."""
        signal = self._alpha_bar[-1]
        kl: Tensor = signal * x_0.double() ** 2 - signal - torch.log1p(-signal)
        return 0.5 * kl.flatten(1).sum(dim=1)

    @torch.no_grad()
    def terms(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """(B,) nats: each row's term of its own t; x_0 and eps (B, C, H, W), x_0 on the levels."""
        x_0, eps = x_0.double(), eps.double()
        x_t = q_sample(x_0, self._alpha_bar[t], eps)
        out = self._net(x_t.float(), t).double()
        _, r1, r2, k, _, b, *_ = (per_row(column) for column in self._plan[t].unbind(1))
        x0_hat = torch.clamp(r1 * x_t - r2 * out, -k, k)
        posterior, sigma_sq = per_row(self._posterior[t]), per_row(self._sigma_sq[t])
        # Both means are a x_t + b x_0, of the image and of the guess.
        kl = _kl(b * (x_0 - x0_hat), posterior.clamp(min=1e-300), sigma_sq)
        decoder = -discretised_log_prob(x_0, x0_hat, sigma_sq.sqrt())
        nats: Tensor = torch.where(per_row(t) == 0, decoder, kl).flatten(1).sum(dim=1)
        return nats


def _kl(difference: Tensor, variance_q: Tensor, variance_p: Tensor) -> Tensor:
    """KL of two Gaussians whose means differ by so much, in nats."""
    ratio = variance_q / variance_p
    return 0.5 * (difference**2 / variance_p + ratio - 1.0 - torch.log(ratio))


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


def bits_per_dim(
    bound: Bound, pixels: Tensor, *, timesteps: int | None = None, seed: int = 0, batch: int = 64
) -> BitsPerDim:
    """Of uint8 images (N, C, H, W): exact over all T, or of so many timesteps for each image.

    Subsampled, each image has its own: t = 0, and one of each of `timesteps` - 1 shares of the
    rest, smaller towards 0, weighed by the share's size: unbiased for every image by itself.
    Noise is keyed by (seed, image, t), so an image's term does not tell its batch.
    Raises ValueError for fewer than 2 timesteps or more than T.
    """
    count = bound.T if timesteps is None else timesteps
    if not 2 <= count <= bound.T:
        raise ValueError(f"timesteps: must be between 2 and {bound.T}, got {count}")
    x_0, scale = from_uint8(pixels), math.log(2.0) * pixels[0].numel()
    t, weight = _chosen(bound.T, count, len(pixels), seed)  # (N, count) each
    terms = torch.cat(list(_rows(bound, x_0, t, seed, batch))).reshape(t.shape)
    prior = bound.prior(x_0)
    each = ((terms * weight).sum(dim=1) + prior) / scale
    return BitsPerDim(
        total=float(each.mean()),
        standard_error=float(each.std() / math.sqrt(len(each))) if len(each) > 1 else math.nan,
        prior=float(prior.mean() / scale),
        decoder=float(terms[:, 0].mean() / scale),
        images=len(pixels),
        timesteps=count,
    )


def _chosen(T: int, count: int, images: int, seed: int) -> tuple[Tensor, Tensor]:  # noqa: N803
    """(images, count) timesteps, 0 first, and how many timesteps each stands for."""
    edges = _edges(T, count)
    sizes = np.diff(edges)
    dice = np.random.default_rng(seed)
    drawn = edges[:-1] + (dice.random((images, count - 1)) * sizes).astype(np.int64)
    t = np.concatenate([np.zeros((images, 1), np.int64), drawn], axis=1)
    weight = np.concatenate([[1], sizes]).astype(np.float64)
    return torch.from_numpy(t), torch.from_numpy(weight).expand(images, -1)


def _edges(T: int, count: int) -> NDArray[np.int64]:  # noqa: N803
    """(count,) where count - 1 shares of 1 ... T-1 begin and end: the first terms weigh most."""
    places = np.arange(count)
    geometric = np.geomspace(1, T, count).round().astype(np.int64)
    return np.clip(np.maximum.accumulate(geometric - places), 1, T - count + 1) + places


def _rows(bound: Bound, x_0: Tensor, t: Tensor, seed: int, batch: int) -> Iterator[Tensor]:
    """The terms of every image and timestep, image by image, in batches."""
    image = torch.arange(len(x_0)).repeat_interleave(t.shape[1])
    shape = (x_0.shape[1], x_0.shape[2], x_0.shape[3])
    for index, at in zip(torch.split(image, batch), torch.split(t.flatten(), batch), strict=True):
        key = torch.full_like(index, seed)
        yield bound.terms(x_0[index], at, normal(key, index, at, Purpose.LIKELIHOOD, shape))
