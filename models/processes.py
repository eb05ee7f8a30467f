"""Several processes that train one network: each has a share of every batch, all have its gradient.

    torchrun --nproc-per-node 4 -m models.train cifar10

What a batch draws (timesteps, noise, flips) is drawn for the whole of it by every process, so how
many there are changes a run by rounding alone, and by which units dropout drops.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from models.arguments import expect_device

# How long one waits for another in a sum. The first saves and draws samples meanwhile; torch's ten
# minutes (NCCL) are too few on a slow disk or device. A process that dies is noticed without it.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Processes:
    """This one's number among `count`; one alone talks to nobody."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def shares(self, batch: int, accumulate: int) -> list[slice]:
        """The parts of a batch that are this process's, in turn: accumulate of them, all equal.

        Raises ValueError where a batch cannot be cut like that.
        """
        parts = self.count * accumulate
        if batch % parts:
            raise ValueError(
                f"batch: {batch} is not divided by {self.count} processes x accumulate {accumulate}"
            )
        size = batch // parts
        mine = range(self.rank * accumulate, (self.rank + 1) * accumulate)
        return [slice(part * size, (part + 1) * size) for part in mine]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each by its sum over all processes, in one message."""
        if self.count == 1:
            return
        parts = list(tensors)
        whole = torch.cat([part.flatten() for part in parts])
        distributed.all_reduce(whole)
        nn.utils.vector_to_parameters(whole, parts)

    def expect_agreement(self, images_seen: int, device: torch.device) -> None:
        """Raises ValueError in every process where they do not all stand at as many images."""
        if self.count == 1:
            return
        most = torch.tensor([images_seen, -images_seen], device=device)
        distributed.all_reduce(most, op=distributed.ReduceOp.MAX)
        latest, earliest = int(most[0]), -int(most[1])
        if latest != earliest:
            raise ValueError(
                f"--out: process {self.rank} is at {images_seen} images, others at {earliest} to "
                f"{latest}; every node needs the same state.pt, best on a disk they share"
            )

    def leave(self) -> None:
        """Say goodbye to the others, when all are here.

        The one that writes comes last. One that left at once could be ending its interpreter
        while gloo's own thread still let go of the last sum's tensor, which aborts the process.
        """
        if self.count > 1:
            distributed.barrier()
            distributed.destroy_process_group()


def join(device: torch.device) -> Processes:
    """What torchrun started, joined; else this process alone. `device` is what it trains on."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    return Processes(distributed.get_rank(), count)


def device_of(name: str) -> torch.device:
    """The device this process trains on: of several GPUs, the one that torchrun gives it.

    Raises ValueError, in one line, where there is none of that name.
    """
    local_rank = os.environ.get("LOCAL_RANK")
    if name == "cuda" and local_rank is not None:
        name = f"cuda:{local_rank}"
    expect_device(name)
    return torch.device(name)
