"""The agreement check must notice what it is there for."""

import torch
from torch import Tensor

from models.plan import ddpm_plan
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.unet import UNet
from tests.conftest import TINY
from worker.chunks import agreeing_sizes

PLAN = ddpm_plan(linear_schedule(), 5)


class Honest(SamplingNet):
    """Row by row: cannot depend on anything but the row."""

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        rows = [slice(i, i + 1) for i in range(len(t))]
        return torch.cat([SamplingNet.__call__(self, x_t[row], t[row]) for row in rows])


class MixesNeighbours(Honest):
    """Leaks a little of the batch into every row."""

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return super().__call__(x_t, t) + 1e-6 * x_t.nan_to_num().clamp(-1, 1).mean()


class MindsItsPosition(Honest):
    """Rounds the first row of a batch differently."""

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        eps = super().__call__(x_t, t)
        eps[0] *= 1 + 1e-6
        return eps


class MindsSmallBatches(Honest):
    """Uses another kernel below 8 rows."""

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return super().__call__(x_t, t) * (1.0 if len(x_t) >= 8 else 1 + 1e-6)


def sizes_of(kind: type[SamplingNet]) -> tuple[int, ...]:
    torch.manual_seed(0)
    net = kind(UNet(TINY), 1000, device="cpu")
    return agreeing_sizes(net, PLAN, device="cpu", chunk=16)


def test_a_network_that_works_row_by_row_agrees_at_every_size_but_one() -> None:
    assert sizes_of(Honest) == (16, 8, 4, 2)


def test_a_network_that_mixes_neighbours_is_run_alone() -> None:
    assert sizes_of(MixesNeighbours) == (1,)


def test_a_network_that_minds_its_position_is_run_alone() -> None:
    assert sizes_of(MindsItsPosition) == (1,)


def test_sizes_that_round_differently_are_not_used() -> None:
    assert sizes_of(MindsSmallBatches) == (16, 8)
