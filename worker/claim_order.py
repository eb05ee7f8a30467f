"""Which queue a claim asks first: pure, so that it can be proved to starve none."""

from collections.abc import Sequence
from typing import TypeVar

Queue = TypeVar("Queue")
OUT_OF_TURN = 8  # one claim in so many


def claim_order(queues: Sequence[Queue], claim: int) -> list[Queue]:
    """The queues in the order in which the worker's `claim`-th claim asks them.

    As given, most urgent first; every eighth claim begins with another one, each in turn, so what
    is never urgent enough is claimed all the same. Inside the engine ageing does the rest.
    """
    if claim % OUT_OF_TURN:
        return list(queues)
    first = claim // OUT_OF_TURN % len(queues)
    return [*queues[first:], *queues[:first]]
