"""The one way between images in [-1, 1] and uint8, and a grid to look at."""

import math

import torch
from torch import Tensor


def from_uint8(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.to(torch.float32) / 127.5 - 1.0


def to_uint8(x: Tensor) -> Tensor:
    """round(clamp(x/2 + 0.5, 0, 1) * 255): the rounding rule of pixels served and pixels scored."""
    return ((x / 2 + 0.5).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def expect_finite(x: Tensor, indices: list[int]) -> None:
    """Raises ValueError for NaN or infinity in x (B, C, H, W), naming the first such image by its
    index: as uint8 it would be as good as any other.
    """
    broken = torch.nonzero(~x.isfinite().flatten(1).all(dim=1))
    if len(broken):
        raise ValueError(f"image {indices[int(broken[0])]}: not finite; the network is broken")


def grid(pixels: Tensor, *, columns: int | None = None) -> Tensor:
    """(B, C, H, W) uint8 -> (C, rows*H, columns*W), row by row, white where images run out."""
    B, C, H, W = pixels.shape  # noqa: N806
    columns = columns or math.ceil(math.sqrt(B))
    rows = math.ceil(B / columns)
    sheet = torch.full((rows * columns, C, H, W), 255, dtype=torch.uint8)
    sheet[:B] = pixels.cpu()
    tiles = sheet.reshape(rows, columns, C, H, W).permute(2, 0, 3, 1, 4)
    return tiles.reshape(C, rows * H, columns * W)
