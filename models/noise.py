"""Noise that belongs to an image: Philox4x32-10 (Salmon et al. 2011) in tensor operations.

A draw is a pure function of (seed, purpose, noise index, step, element), so an image can be
recomputed alone, restarted, or moved to another worker, and its neighbours never matter.

    key     = seed, low and high 32 bits
    counter = (element // 4, step, noise index, purpose)

Words are kept in int64 tensors: torch has no full set of uint32 operations.
"""

import math
from enum import IntEnum

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


class Purpose(IntEnum):
    """What a draw is for; the counter's last word, so that no two uses share noise."""

    FIRST_STATE = 0
    STEP = 1
    FORWARD = 2
    LIKELIHOOD = 3


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Ten rounds: four counter words and two key words in [0, 2^32) -> four such words.

    All tensors are int64 and broadcast against each other. The 64-bit products wrap around as
    signed numbers but keep their bits, so both halves are exact.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & WORD) ^ c1 ^ k0,
            p1 & WORD,
            ((p0 >> 32) & WORD) ^ c3 ^ k1,
            p0 & WORD,
        )
        k0, k1 = (k0 + WEYL_0) & WORD, (k1 + WEYL_1) & WORD
    return c0, c1, c2, c3


def normal(
    seed: Tensor,  # (B,) int64, 0 ... 2^63 - 1
    index: Tensor,  # (B,) int64 noise index, usually the image's index
    step: Tensor,  # (B,) int64 position in the chain
    purpose: Purpose,
    shape: tuple[int, ...],  # of one image
) -> Tensor:
    """(B, *shape) standard normals in float32, each row from its own key and counter.

    Box-Muller with u in (0, 1]: 32 bits reach 6.66 sigma and never take log(0).
    """
    elements = math.prod(shape)
    block = torch.arange((elements + 3) // 4, device=seed.device)[None, :]
    words = philox4x32(
        (block, step[:, None], index[:, None], torch.full_like(block, int(purpose))),
        (seed[:, None] & WORD, seed[:, None] >> 32),
    )
    u = [(w + 1).to(torch.float32) * 2.0**-32 for w in words]
    pairs = [*_box_muller(u[0], u[1]), *_box_muller(u[2], u[3])]
    flat = torch.stack(pairs, dim=-1).flatten(1)[:, :elements]
    return flat.reshape(-1, *shape)


def _box_muller(u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
    radius, angle = torch.sqrt(-2.0 * torch.log(u1)), (2.0 * math.pi) * u2
    return radius * torch.cos(angle), radius * torch.sin(angle)
