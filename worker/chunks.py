"""Which chunk sizes round alike on this device: whole chains, hostile neighbours, every position.

The largest size M is given; smaller ones are used only where they are bit-equal to it. Where not
even M agrees with itself in other company, chunks of one row are the only safe choice. Many
images are compared, not one: in bfloat16 two kernels may round alike a thousand times and then not.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from models.plan import Plan
from worker.row import Ticket
from worker.runner import Net, TorchRunner

log = logging.getLogger(__name__)
HOSTILE = (float("nan"), 1e30, -1e30, float("inf"))
SEED = 7
IMAGES = 16  # compared in chunks smaller than that


def agreeing_sizes(
    net: Net, plan: Plan, *, device: str, chunk: int, graphed: bool = False
) -> tuple[int, ...]:
    """The sizes among M, M/2, M/4 ... 2 that give a row's chain the same bits everywhere.

    Every step is taken in the mode that serves: `graphed` or not.
    """

    def runner(size: int) -> TorchRunner:
        return TorchRunner(net, device=device, slots=size, sizes=(size,), graphed=graphed)

    together = _final_states(runner(chunk), plan, range(chunk), hostile=None)
    sizes: list[int] = []
    for size in (chunk >> i for i in range(max(1, chunk.bit_length() - 1))):
        if not _agrees(runner(size), plan, together):
            break
        sizes.append(size)
    if not sizes:
        log.warning("chunks of %d rows depend on their neighbours: using chunks of one", chunk)
    return tuple(sizes) or (1,)


def _agrees(runner: TorchRunner, plan: Plan, together: Tensor) -> bool:
    """Every image elsewhere than in `together`, beside hostile rows at odd, then even positions."""
    size = runner.width
    for start in range(0, max(size, min(IMAGES, len(together))), size):
        images = [start + (i + 1) % size for i in range(size)]
        for hostile in (0, 1):
            states = _final_states(runner, plan, images, hostile=hostile)
            ours = [i for i in range(size) if i % 2 != hostile]
            if not torch.equal(states[ours], together[[images[i] for i in ours]]):
                return False
    return True


def _final_states(
    runner: TorchRunner, plan: Plan, images: Sequence[int], *, hostile: int | None
) -> Tensor:
    """x at the end of their chains; the rows of one parity hold hostile values throughout."""
    rows = Ticket.for_nobody(plan, seed=SEED, indices=images).rows()
    for row in rows:
        runner.admit(row)
    for _ in range(plan.steps):
        for i, row in enumerate(rows):
            if i % 2 == hostile:
                runner.state(row).fill_(HOSTILE[i // 2 % len(HOSTILE)])
        runner.step(rows)
    states = torch.stack([runner.state(row) for row in rows])
    for row in rows:
        runner.release(row)
    return states
