"""The agreement check must notice what it is there for."""

import torch
from torch import Tensor

from models.plan import ddpm_plan
from models.schedule import linear_schedule
from models.unet import UNet
from tests.conftest import TINY
from worker.chunks import agreeing_sizes

PLAN = ddpm_plan(linear_schedule(), 5)


class Honest(UNet):
    """Row by row: cannot depend on anything but the row."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([UNet.forward(self, x[i : i + 1], t[i : i + 1]) for i in range(len(x))])


class MixesNeighbours(Honest):
    """Leaks a little of the batch into every row."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return super().forward(x, t) + 1e-6 * x.nan_to_num().clamp(-1, 1).mean()


class MindsItsPosition(Honest):
    """Rounds the first row of a batch differently."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        eps = super().forward(x, t)
        eps[0] *= 1 + 1e-6
        return eps


class MindsSmallBatches(Honest):
    """Uses another kernel below 8 rows."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return super().forward(x, t) * (1.0 if len(x) >= 8 else 1 + 1e-6)


def sizes_of(kind: type[UNet]) -> tuple[int, ...]:
    torch.manual_seed(0)
    return agreeing_sizes(kind(TINY).eval(), PLAN, device="cpu", chunk=16)


def test_a_network_that_works_row_by_row_agrees_at_every_size() -> None:
    assert sizes_of(Honest) == (16, 8, 4, 2, 1)


def test_a_network_that_mixes_neighbours_is_run_alone() -> None:
    assert sizes_of(MixesNeighbours) == (1,)


def test_a_network_that_minds_its_position_is_run_alone() -> None:
    assert sizes_of(MindsItsPosition) == (1,)


def test_sizes_that_round_differently_are_not_used() -> None:
    assert sizes_of(MindsSmallBatches) == (16, 8)
