"""The slow and obviously right sampler, one image at a time: what the engine is compared with."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.diffusion import Denoiser, reverse_step
from models.noise import Purpose, normal
from models.plan import Plan

Shape = tuple[int, int, int]


@torch.no_grad()
def sample(net: Denoiser, plan: Plan, shape: Shape, *, seed: int, index: int) -> Tensor:
    """Image `index` of `seed`, alone: (C, H, W), not yet clamped or rounded."""
    x, x0_prev = first_state(shape, seed, [index]), torch.zeros(1, *shape)
    for position, line in enumerate(torch.from_numpy(plan.table).float()):
        eps = net(x, line[:1].long())
        noise = step_noise(shape, seed, [index], position)
        x, x0_prev = reverse_step(line[None], x, eps, x0_prev, noise)
    return x[0]


@torch.no_grad()
def sample_batch(
    net: Denoiser,
    plan: Plan,
    shape: Shape,
    *,
    seed: int,
    indices: list[int],
    progress: Callable[[Iterator[int]], Iterator[int]] = iter,
) -> Tensor:
    """Images of one plan in one batch, in step: (B, C, H, W). For training grids and metrics."""
    x, x0_prev = first_state(shape, seed, indices), torch.zeros(len(indices), *shape)
    table = torch.from_numpy(plan.table).float()
    for position in progress(iter(range(plan.steps))):
        lines = table[position].expand(len(indices), -1)
        noise = step_noise(shape, seed, indices, position) if plan.stochastic else None
        x, x0_prev = reverse_step(lines, x, net(x, lines[:, 0].long()), x0_prev, noise)
    return x


def first_state(shape: Shape, seed: int, indices: list[int]) -> Tensor:
    """x_T ~ N(0, I), each image's own: (B, C, H, W)."""
    return normal(*_counters(seed, indices, 0), Purpose.FIRST_STATE, shape)


def step_noise(shape: Shape, seed: int, indices: list[int], position: int) -> Tensor:
    """z of the step at `position`: (B, C, H, W)."""
    return normal(*_counters(seed, indices, position), Purpose.STEP, shape)


def _counters(seed: int, indices: list[int], position: int) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.tensor(indices, dtype=torch.int64)
    return torch.full_like(index, seed), index, torch.full_like(index, position)
