"""How many rows the next step takes: pure, from what a step of each size costs.

Nine rows padded to sixteen pay for sixteen. Eight of them in a full chunk, the ninth in its turn
next time, get further in the same time. Any choice gives the same pixels, so this may be measured.
"""

from collections.abc import Mapping


def places(rows: int, step_s: Mapping[int, float]) -> int:
    """The size of chunk that gets most rows a second; of equal ones the smallest that holds all.

    `step_s`: seconds of a step by chunk size, all positive.
    """
    return max(step_s, key=lambda size: (min(rows, size) / step_s[size], min(rows, size), -size))
