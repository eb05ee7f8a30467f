"""What a network is trained to make small, of each row of a batch.

    simple   the square error of what it predicts (L_simple, eq. 14)
    bound    the same, each timestep weighted as in the bound (eq. 12)
    vlb      the bound itself (eq. 5), the decoder of 256 levels included: one term of it a row
    hybrid   simple, and the bound for the variance alone (Nichol & Dhariwal 2021, eq. 16)

bound and vlb are in nats per dimension of one timestep; T of them and L_T make the bound.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.bound import Bound
from models.diffusion import square_error
from models.schedule import NoiseSchedule
from models.train_config import TrainConfig

Objective = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (out, x_0, t, eps) -> (B,)
VARIANCE_SHARE = 1e-3  # of the bound, in bits per dimension, beside L_simple


def objective_of(config: TrainConfig, schedule: NoiseSchedule, device: torch.device) -> Objective:
    """The configuration's."""
    if config.loss == "vlb":
        return bound_terms(config, schedule, device)
    square = weighted_squares(config, schedule, device)
    if config.loss != "hybrid":
        return square
    return hybrid(square, bound_terms(config, schedule, device), schedule.T)


def weighted_squares(
    config: TrainConfig, schedule: NoiseSchedule, device: torch.device
) -> Objective:
    """simple and bound."""
    weights = loss_weights(schedule, config).float().to(device)
    alpha_bar = torch.from_numpy(schedule.alpha_bar).float().to(device)

    def objective(out: Tensor, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return weights[t] * square_error(out, x_0, alpha_bar[t], eps, config.prediction)

    return objective


def bound_terms(config: TrainConfig, schedule: NoiseSchedule, device: torch.device) -> Objective:
    """vlb. x_0 is not clipped: where it is, nothing would be learned."""
    bound = Bound(
        schedule, variance=config.variance, clip=None, prediction=config.prediction, device=device
    )

    def objective(out: Tensor, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return bound.terms(out, x_0, t, eps).float() / x_0[0].numel()

    return objective


def hybrid(square: Objective, terms: Objective, T: int) -> Objective:  # noqa: N803
    """L_simple + 0.001 L_vlb, the latter for the variance: what is said of x_0 is held still."""

    def objective(out: Tensor, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        said, v = out.chunk(2, dim=1)
        bits = terms(torch.cat([said.detach(), v], dim=1), x_0, t, eps) / math.log(2.0)
        return square(said, x_0, t, eps) + VARIANCE_SHARE * T * bits

    return objective


def prior_bits(schedule: NoiseSchedule, x_0: Tensor) -> float:
    """L_T of images in [-1, 1], bits per dimension: what no training can change."""
    nats = Bound(schedule).prior(x_0).mean() / x_0[0].numel()
    return float(nats / math.log(2.0))


def loss_weights(schedule: NoiseSchedule, config: TrainConfig) -> Tensor:
    """(T,) of each timestep's square error: those of the bound for `bound`, else ones.

    Of eps: beta^2 / (2 sigma^2 alpha (1 - alpha_bar)), eq. 12, and of t = 0 with the variance of
    t = 1, since its own is 0 (fixed_small).
    """
    if config.loss != "bound":
        return torch.ones(schedule.T, dtype=torch.float64)
    beta = schedule.beta
    small = np.append(schedule.posterior_variance[1:2], schedule.posterior_variance[1:])
    sigma_sq = beta if config.variance == "fixed_large" else small
    weights = beta**2 / (2.0 * sigma_sq * (1.0 - beta) * (1.0 - schedule.alpha_bar))
    return torch.from_numpy(weights)
