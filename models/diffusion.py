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
    out: Tensor,  # (B, C, H, W) what the network said of x_t
    x_0: Tensor,
    alpha_bar_t: Tensor,  # (B,)
    eps: Tensor,
    prediction: Prediction = "epsilon",
) -> Tensor:
    """(B,) each row's mean square error; that of eps is L_simple (eq. 14)."""
    error = out.float() - target(prediction, x_0, alpha_bar_t, eps)
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


def learned_step(
    coefficients: Tensor,  # (B, 9)
    log_range: Tensor,  # (B, 2) each row's own line of its plan's
    x_t: Tensor,  # (B, C, H, W)
    out: Tensor,  # (B, 2C, H, W) the network's output, what it tells of the variance last
    noise: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`reverse_step` of an ancestral plan whose variance is the network's."""
    eps, v = out.chunk(2, dim=1)
    mean, x0_hat = reverse_step(coefficients, x_t, eps, torch.zeros_like(x_t), None)
    if noise is None:
        return mean, x0_hat
    noisy = per_row(coefficients[:, COLUMNS.index("s")] != 0.0)
    return mean + noisy * torch.exp(0.5 * log_variance(v, log_range)) * noise, x0_hat


def log_variance(v: Tensor, log_range: Tensor) -> Tensor:
    """Nichol & Dhariwal 2021, eq. 15: the least at v = -1, the most at v = 1; log_range (B, 2)."""
    least, most = (per_row(end) for end in log_range.unbind(1))
    share = (v + 1.0) / 2.0
    return share * most + (1.0 - share) * least
