"""First states of chains that start from images: `models.from_images`, for a shard's rows."""

import hashlib
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.from_images import between, noised
from models.pixels import from_uint8
from models.plan import Plan
from protocol.messages import JobRequest
from worker.row import Start


def starts(
    request: JobRequest,
    pixels: Mapping[str, bytes],
    plan: Plan,
    shape: tuple[int, int, int],
    indices: Sequence[int],
) -> dict[int, Start]:
    """By image index; empty for a job that samples from x_T.

    `pixels` are the request's sources, uint8 (H, W, C). Raises ValueError where one is missing, or
    not the one whose hash was recorded.
    """
    x_t = [
        noised(_x_0(name, request, pixels, shape), plan, seed=request.seed, index=number)
        for number, name in enumerate(request.sources)
    ]
    if not indices:
        return {}
    if request.task == "variations":
        return {index: Start(x_t[0], noise_index=index) for index in indices}
    if request.task == "interpolate":
        lambdas = torch.tensor([request.lambda_of(index) for index in indices])
        mixed = between(x_t[0], x_t[1], lambdas)
        return {index: Start(x, noise_index=0) for index, x in zip(indices, mixed, strict=True)}
    return {}


def _x_0(
    name: str, request: JobRequest, pixels: Mapping[str, bytes], shape: tuple[int, int, int]
) -> Tensor:
    """(C, H, W) in [-1, 1]."""
    found = pixels.get(name, b"")
    if hashlib.sha256(found).hexdigest() != request.sources[name].pixels_sha256:
        raise ValueError(f"{name}: its pixels are gone, or are others")
    if len(found) != math.prod(shape):
        raise ValueError(f"{name}: has {len(found)} values, the model's images {math.prod(shape)}")
    channels, height, width = shape
    x = torch.frombuffer(bytearray(found), dtype=torch.uint8).reshape(height, width, channels)
    return from_uint8(x.permute(2, 0, 1))
