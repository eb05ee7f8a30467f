"""Bits per dimension of images: the bound's terms, all of them or an unbiased sample."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bound import Bound
from models.noise import Purpose, normal
from models.pixels import from_uint8


@dataclass(frozen=True)
class BitsPerDim:
    """Means over images. `standard_error` holds what images and chosen timesteps scatter by."""

    total: float
    standard_error: float | None  # None of one image: nothing scatters
    prior: float  # L_T
    decoder: float  # the term of t = 0
    images: int
    timesteps: int  # evaluated of each image
    classes: Literal["of the data", "none"]  # that the network was told


@torch.no_grad()
def bits_per_dim(
    net: Callable[..., Tensor],
    bound: Bound,
    pixels: Tensor,
    *,
    labels: Tensor | None = None,
    timesteps: int | None = None,
    seed: int = 0,
    batch: int = 64,
) -> BitsPerDim:
    """Of uint8 images (N, C, H, W): exact over all T, or of so many timesteps for each image.

    `net` is called with x_t and t, and with each row's class where `labels` (N,) has them.

    Subsampled, each image has its own: t = 0, and one of each of `timesteps` - 1 shares of the
    rest, smaller towards 0, weighed by the share's size: unbiased for every image by itself.
    Noise is keyed by (seed, image, t), so an image's term does not tell its batch.
    Raises ValueError for fewer than 2 timesteps or more than T, and for a network whose bound is
    not finite, naming the first such image.
    """
    count = bound.T if timesteps is None else timesteps
    if not 2 <= count <= bound.T:
        raise ValueError(f"timesteps: must be between 2 and {bound.T}, got {count}")
    x_0, scale = from_uint8(pixels), math.log(2.0) * pixels[0].numel()
    t, weight = _chosen(bound.T, count, len(pixels), seed)  # (N, count) each
    terms = torch.cat(list(_rows(net, bound, x_0, labels, t, seed, batch))).reshape(t.shape)
    prior = bound.prior(x_0)
    each = ((terms * weight).sum(dim=1) + prior) / scale
    _expect_finite(each)
    return BitsPerDim(
        total=float(each.mean()),
        standard_error=float(each.std() / math.sqrt(len(each))) if len(each) > 1 else None,
        prior=float(prior.mean() / scale),
        decoder=float(terms[:, 0].mean() / scale),
        images=len(pixels),
        timesteps=count,
        classes="none" if labels is None else "of the data",
    )


def _expect_finite(each: Tensor) -> None:
    broken = torch.nonzero(~each.isfinite())
    if len(broken):
        raise ValueError(f"image {int(broken[0])}: the network's bound on it is not finite")


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


def _rows(
    net: Callable[..., Tensor],
    bound: Bound,
    x_0: Tensor,
    labels: Tensor | None,
    t: Tensor,
    seed: int,
    batch: int,
) -> Iterator[Tensor]:
    """The terms of every image and timestep, image by image, in batches."""
    image = torch.arange(len(x_0)).repeat_interleave(t.shape[1])
    shape = (x_0.shape[1], x_0.shape[2], x_0.shape[3])
    for index, at in zip(torch.split(image, batch), torch.split(t.flatten(), batch), strict=True):
        eps = normal(torch.full_like(index, seed), index, at, Purpose.LIKELIHOOD, shape)
        y = () if labels is None else (labels[index],)
        out = net(bound.noised(x_0[index], at, eps).float(), at, *y)
        yield bound.terms(out, x_0[index], at, eps)
