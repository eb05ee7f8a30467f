"""Fine-tuning: a run that begins with the weights of a trained network."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from models.checkpoint import Checkpoint
from models.diffusers_config import CheckpointError
from models.trainer import Trainer

CLASSES = "class_embedding.weight"
LAST = ("conv_out.weight", "conv_out.bias")


def begin_with(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Weights and average of a run that has not begun become a checkpoint's.

    Classes and variances that the checkpoint does not know start as nothing at all: all zero, so
    that the network begins as it was. Raises CheckpointError where it is of another network,
    prediction or schedule.
    """
    predicts = checkpoint.defaults.prediction
    if predicts != trainer.config.prediction:
        raise CheckpointError(
            f"start_from: predicts {predicts}, not the run's {trainer.config.prediction}"
        )
    if not np.array_equal(checkpoint.schedule.beta, trainer.schedule.beta):
        raise CheckpointError("start_from: was trained on another schedule, or another T")
    weights = _with_what_is_new(dict(checkpoint.net.state_dict()), trainer)
    try:
        trainer.net.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"start_from: does not fit the configuration: {reason}") from error
    trainer.ema.load_state_dict(trainer.net.state_dict())


def _with_what_is_new(weights: dict[str, Tensor], trainer: Trainer) -> dict[str, Tensor]:
    wanted, network = trainer.net.state_dict(), trainer.config.network
    if CLASSES in wanted and CLASSES not in weights:
        weights[CLASSES] = torch.zeros_like(wanted[CLASSES])
    if trainer.config.variance == "learned_range":
        for name in LAST:
            missing = network.out_channels - len(weights[name])
            if missing == network.in_channels:
                after = [0, 0] * (weights[name].ndim - 1) + [0, missing]
                weights[name] = F.pad(weights[name], after)
    return weights
