"""Images in an order of chance, the same each time: folders and archives are often sorted by class,
and the first so many of those are no sample of all.
"""

import torch
from torch import Tensor


def shuffled(rows: Tensor, count: int | None = None) -> Tensor:
    """The first `count` rows of (N, ...) in that order; all N unless given.

    It depends on N alone, so labels stay beside their images.
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return rows[order[:count]]
