"""How many rows the next step takes: pure, from what a step of each size costs.

Nine rows padded to sixteen pay for sixteen. Eight of them in a full chunk, the ninth in its turn
next time, get further in the same time. Any choice gives the same pixels, so this may be measured;
but measured times are off by a tenth, so only a clear gain keeps a row waiting.
"""

from collections.abc import Mapping

CLEAR_GAIN = 1.2  # in rows a second


def places(rows: int, step_s: Mapping[int, float]) -> int:
    """The smallest chunk size that holds all rows, or a smaller, full one that is clearly better.

    `step_s`: seconds of a step by chunk size, all positive. Enough rows for the largest take it.
    """
    holds_all = min((size for size in step_s if size >= rows), default=max(step_s))
    full = [size for size in step_s if size < rows and size < holds_all]
    if rows >= holds_all or not full:
        return holds_all
    best = max(full, key=lambda size: size / step_s[size])
    gain = (best / step_s[best]) / (rows / step_s[holds_all])
    return best if gain >= CLEAR_GAIN else holds_all
