"""The slow and obviously right sampler, one image at a time: what the engine is compared with."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from models.diffusion import Denoiser, learned_step, reverse_step
from models.noise import Purpose, normal
from models.plan import Plan

Shape = tuple[int, int, int]


@torch.no_grad()
def sample(net: Denoiser, plan: Plan, shape: Shape, *, seed: int, index: int) -> Tensor:
    """Image `index` of `seed`, alone: (C, H, W), not yet clamped or rounded."""
    return sample_batch(net, plan, shape, seed=seed, indices=[index])[0]


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
    x = first_state(shape, seed, indices)
    chain = reverse_chain(net, plan, x, seed=seed, indices=indices)
    for _ in progress(iter(range(plan.steps))):
        x, _x0_hat = next(chain)
    return x


@torch.no_grad()
def reverse_chain(
    net: Denoiser,
    plan: Plan,
    x: Tensor,  # (B, C, H, W) at the plan's first timestep
    *,
    seed: int,
    indices: list[int],  # of each row's noise
) -> Iterator[tuple[Tensor, Tensor]]:
    """After every step: x at the next position, and x0_hat, both (B, C, H, W).

    The x0_hat are the paper's progressive generation (section 4.3, figure 6).
    """
    x0_hat, shape = torch.zeros_like(x), (x.shape[1], x.shape[2], x.shape[3])
    for position, line in enumerate(torch.from_numpy(plan.table).float()):
        lines = line.expand(len(x), -1)
        noise = step_noise(shape, seed, indices, position) if plan.stochastic else None
        out = net(x, lines[:, 0].long())
        if plan.log_range is None:
            x, x0_hat = reverse_step(lines, x, out, x0_hat, noise)
        else:
            log_range = torch.from_numpy(plan.log_range[position]).float().expand(len(x), -1)
            x, x0_hat = learned_step(lines, log_range, x, out, noise)
        yield x, x0_hat


def first_state(shape: Shape, seed: int, indices: list[int]) -> Tensor:
    """x_T ~ N(0, I), each image's own: (B, C, H, W)."""
    return normal(*_counters(seed, indices, 0), Purpose.FIRST_STATE, shape)


def step_noise(shape: Shape, seed: int, indices: list[int], position: int) -> Tensor:
    """z of the step at `position`: (B, C, H, W)."""
    return normal(*_counters(seed, indices, position), Purpose.STEP, shape)


def _counters(seed: int, indices: list[int], position: int) -> tuple[Tensor, Tensor, Tensor]:
    index = torch.tensor(indices, dtype=torch.int64)
    return torch.full_like(index, seed), index, torch.full_like(index, position)
