"""Small real things the tests share: a network of a few thousand weights, its configuration."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.unet import UNet, UNetConfig

FASHION = Path(__file__).parents[1] / "data" / "fashion-mnist-512.npz"


def tiny_config(**changes: Any) -> UNetConfig:
    """Two levels, 8x8 grey, attention below; about 14,000 weights."""
    given: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "attention": (False, True),
        "norm_num_groups": 4,
    }
    return UNetConfig(**(given | changes))


def tiny_net(*, seed: int = 0, **changes: Any) -> UNet:
    """That network with random weights."""
    torch.manual_seed(seed)
    return UNet(tiny_config(**changes)).eval()


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, through nested state dicts."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
