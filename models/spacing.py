"""Which timesteps a shortened chain keeps (Lin et al. 2023, table 2; Song et al. 2021, D.2).

Ten of a thousand:

    leading    900, 800 ... 100, 0        DDPM's and DDIM's own in diffusers; never sees t = 999
    trailing   999, 899 ... 199, 99       starts where training ended
    linspace   999, 888 ... 111, 0        both ends
    quadratic  800, 632 ... 39, 9, 0      dense near the image
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Spacing = Literal["leading", "trailing", "linspace", "quadratic"]
Timesteps = NDArray[np.int64]
QUADRATIC_REACH = 0.8  # as in DDIM's figures; a mean that is not 0 still shows in x_t there


def timesteps(
    levels: int, steps: int, spacing: Spacing = "leading", *, steps_offset: int = 0
) -> Timesteps:
    """(steps,) strictly descending timesteps out of levels-1 ... 0; `levels` is T, or less for a
    chain that starts midway. `steps_offset` shifts all of them, with leading spacing only, and no
    further than there are timesteps.

    Raises ValueError naming `steps` or `spacing`.
    """
    if spacing not in get_args(Spacing):
        raise ValueError(f"spacing: {spacing!r} is none of {get_args(Spacing)}")
    if not 1 <= steps <= levels:
        raise ValueError(f"steps: must be between 1 and {levels}, got {steps}")
    count = np.arange(steps)
    if spacing == "leading":
        return _leading(levels, steps, steps_offset)
    if spacing == "trailing":
        return _whole(np.arange(levels, 0, -levels / steps)[:steps]) - 1
    if spacing == "linspace":
        return _whole(np.linspace(0, levels - 1, max(steps, 2))[::-1][:steps])
    root = np.linspace(0, np.sqrt(QUADRATIC_REACH * levels), steps)
    squares = np.minimum(np.floor(root**2 + 1e-9), levels - 1)
    return (np.maximum.accumulate(squares - count) + count)[::-1].astype(np.int64)


def _leading(levels: int, steps: int, offset: int) -> Timesteps:
    t = np.arange(steps, dtype=np.int64)[::-1] * (levels // steps)
    return t + min(offset, levels - 1 - int(t[0]))


def _whole(values: NDArray[np.floating]) -> Timesteps:
    return values.round().astype(np.int64)
