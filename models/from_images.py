"""Chains that start from images: variations and interpolations (section 4.4, figures 7 and 8).

An image is noised to x_t at the plan's first timestep, whatever its spacing, so that the network
never sees a noise level that it was not told; a plan with `start_t` = t and trailing or linspace
spacing starts at the paper's t itself.
"""

from itertools import islice

import torch
from torch import Tensor

from models.diffusion import Denoiser, q_sample
from models.noise import Purpose, normal
from models.plan import Plan
from models.sample import reverse_chain


def noised(x_0: Tensor, plan: Plan, *, seed: int, index: int) -> Tensor:
    """x_t ~ q(x_t | x_0), (C, H, W), where the plan starts: noise of (seed, index), eq. 4."""
    key, number, step = torch.tensor([[seed], [index], [0]])
    eps = normal(key, number, step, Purpose.FORWARD, tuple(x_0.shape))
    alpha_bar_t = torch.from_numpy(plan.alpha_bar[:1])
    return q_sample(x_0[None].double(), alpha_bar_t, eps.double())[0].float()


def between(x_t_a: Tensor, x_t_b: Tensor, lambdas: Tensor) -> Tensor:
    """(1 - lambda) x_t^a + lambda x_t^b for each lambda in [0, 1]: (len(lambdas), C, H, W).

    One by one, so that no image's rounding depends on how many are asked for together.
    """
    return torch.stack([torch.lerp(x_t_a, x_t_b, weight) for weight in lambdas])


def variations(net: Denoiser, plan: Plan, x_0: Tensor, *, seed: int, indices: list[int]) -> Tensor:
    """Images that share x_t with x_0 (C, H, W): (B, C, H, W), each with its own decoder noise.

    A plan that adds no noise makes all of them the same image.
    """
    x_t = noised(x_0, plan, seed=seed, index=0)
    return _last(net, plan, x_t.expand(len(indices), -1, -1, -1), seed, indices)


def interpolations(
    net: Denoiser, plan: Plan, x_a: Tensor, x_b: Tensor, *, seed: int, lambdas: Tensor
) -> Tensor:
    """From x_a to x_b, (C, H, W) each: (len(lambdas), C, H, W).

    x_t^a and x_t^b are drawn once, from noises 0 and 1 of the seed; the decoder noise is the same
    for every lambda, so that only lambda differs between neighbours.
    """
    a, b = (noised(x, plan, seed=seed, index=i) for i, x in enumerate((x_a, x_b)))
    return _last(net, plan, between(a, b, lambdas), seed, [0] * len(lambdas))


def _last(net: Denoiser, plan: Plan, x_t: Tensor, seed: int, indices: list[int]) -> Tensor:
    chain = reverse_chain(net, plan, x_t, seed=seed, indices=indices)
    ((x, _),) = islice(chain, plan.steps - 1, None)
    return x
