"""Which chunk sizes round alike on this device: whole chains, hostile neighbours, every position.

The largest size M is given; smaller ones are used only where they are bit-equal to it. Where not
even M agrees with itself at another position, chunks of one row are the only safe choice.
"""

import logging

import torch

from models.plan import Plan
from models.unet import UNet
from worker.row import Row, Ticket
from worker.runner import TorchRunner

log = logging.getLogger(__name__)
HOSTILE = (float("nan"), 1e30, -1e30, float("inf"))
SEED = 7


def agreeing_sizes(net: UNet, plan: Plan, *, device: str, chunk: int) -> tuple[int, ...]:
    """The sizes among M, M/2, M/4 ... that give a row's chain the same bits everywhere."""
    padded = TorchRunner(net, device=device, capacity=1, sizes=(chunk,))
    alone = _final_states(padded, plan, [True])[0]
    sizes: list[int] = []
    for size in (chunk >> i for i in range(chunk.bit_length())):
        if not _agrees(net, plan, device, size, alone):
            break
        sizes.append(size)
    if not sizes:
        log.warning("chunks of %d rows depend on their neighbours: using chunks of one", chunk)
    return tuple(sizes) or (1,)


def _agrees(net: UNet, plan: Plan, device: str, size: int, alone: torch.Tensor) -> bool:
    """Our row at the even positions among hostile ones, then at the odd positions."""
    for parity in (0, 1):
        runner = TorchRunner(net, device=device, capacity=size, sizes=(size,))
        ours = [position % 2 == parity for position in range(size)]
        if not all(torch.equal(x, alone) for x in _final_states(runner, plan, ours)):
            return False
    return True


def _final_states(runner: TorchRunner, plan: Plan, ours: list[bool]) -> list[torch.Tensor]:
    """x at the end of the chain of every row of ours; the others hold hostile values throughout."""
    ticket = _ticket(plan)
    rows = [Row(ticket, index=0) for _ in ours]
    for row in rows:
        runner.admit(row)
    for _ in range(plan.steps):
        for i, row in enumerate(rows):
            if not ours[i]:
                runner.state(row).fill_(HOSTILE[i % len(HOSTILE)])
        runner.step(rows)
    return [runner.state(row) for row, mine in zip(rows, ours, strict=True) if mine]


def _ticket(plan: Plan) -> Ticket:
    return Ticket(
        job_id="agreement",
        urgency=0,
        plan=plan,
        steps=plan.steps,
        seed=SEED,
        indices=(0,),
        deliver=lambda *_: None,
    )
