"""The maths of DDPM as pure functions: `t` one per row, noise an argument, no state.

Nothing here knows the network: it takes eps, or a callable that gives it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.plan import COLUMNS, Prediction

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> eps, or what it was trained to say


def per_row(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), to weigh images with."""
    return values[:, None, None, None]


def q_sample(x_0: Tensor, alpha_bar_t: Tensor, eps: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0), eq. 4: x_0, eps (B, C, H, W); alpha_bar_t (B,)."""
    return per_row(alpha_bar_t.sqrt()) * x_0 + per_row((1.0 - alpha_bar_t).sqrt()) * eps


def target(prediction: Prediction, x_0: Tensor, alpha_bar_t: Tensor, eps: Tensor) -> Tensor:
    """What the network is to say of x_t: the noise, the image, or v of both (B, C, H, W)."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x_0
    return per_row(alpha_bar_t.sqrt()) * eps - per_row((1.0 - alpha_bar_t).sqrt()) * x_0


def square_error(
    net: Denoiser,
    x_0: Tensor,
    t: Tensor,
    alpha_bar: Tensor,  # (T,)
    eps: Tensor,
    prediction: Prediction = "epsilon",
) -> Tensor:
    """(B,) each row's mean square error; that of eps is L_simple (eq. 14)."""
    x_t = q_sample(x_0, alpha_bar[t], eps)
    error = net(x_t, t).float() - target(prediction, x_0, alpha_bar[t], eps)
    return error.square().flatten(1).mean(dim=1)


def reverse_step(
    coefficients: Tensor,  # (B, 9) each row's own line of its own plan
    x_t: Tensor,  # (B, C, H, W)
    eps: Tensor,  # (B, C, H, W) the network's output at (x_t, t)
    x0_prev: Tensor,  # (B, C, H, W) the x0_hat of the step before
    noise: Tensor | None,  # (B, C, H, W); None where every row's s is 0
) -> tuple[Tensor, Tensor]:
    """One step of any plan for any mix of rows: (x at the next position, x0_hat)."""
    _, r1, r2, k, a, b, e, c, s = (per_row(v) for v in coefficients.unbind(1))
    assert coefficients.shape == (len(x_t), len(COLUMNS)), f"{tuple(coefficients.shape)}"
    x0_hat = torch.clamp(r1 * x_t - r2 * eps, -k, k)
    x_next = a * x_t + b * x0_hat + e * eps + c * x0_prev
    return (x_next if noise is None else x_next + s * noise), x0_hat
