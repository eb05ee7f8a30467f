"""Fine-tuning: a run that begins with the weights of a trained network."""

import logging

import numpy as np
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from models.checkpoint import Checkpoint
from models.diffusers_config import CheckpointError
from models.model_card import past_of
from models.trainer import Trainer

log = logging.getLogger(__name__)
CLASSES = "class_embedding.weight"
CLASS_SCALE = 0.5  # of the size of what a network knows of t; from zero, rows grow too slowly
OF_T = "time_embedding.linear_2.bias"
LAST = ("conv_out.weight", "conv_out.bias")


def begin_with(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Weights and average of a run that has not begun become a checkpoint's.

    Variances that the checkpoint does not know start at zero, midway; classes at random. A run
    without classes begins with what the checkpoint draws for "none". It may predict something
    else: then its features serve, and what it makes of them is learned anew.
    Raises CheckpointError where it is of another network or schedule.
    """
    predicts, wanted = checkpoint.defaults.prediction, trainer.config.prediction
    if predicts != wanted:
        log.info("start_from: predicts %s, the run %s; its features serve", predicts, wanted)
    if not np.array_equal(checkpoint.schedule.beta, trainer.schedule.beta):
        raise CheckpointError("start_from: was trained on another schedule, or another T")
    weights = _with_what_is_new(dict(checkpoint.net.state_dict()), trainer)
    try:
        trainer.net.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"start_from: does not fit the configuration: {reason}") from error
    trainer.ema.load_state_dict(trainer.net.state_dict())
    trainer.past = past_of(checkpoint.card)


def _with_what_is_new(weights: dict[str, Tensor], trainer: Trainer) -> dict[str, Tensor]:
    wanted, network = trainer.net.state_dict(), trainer.config.network
    if CLASSES in wanted and CLASSES not in weights:
        weights[CLASSES] = CLASS_SCALE * wanted[CLASSES]  # drawn of N(0, 1) for this run's seed
    if CLASSES in weights and CLASSES not in wanted:
        weights[OF_T] = weights[OF_T] + weights.pop(CLASSES)[-1]  # what "none" adds, it always adds
    if trainer.config.variance == "learned_range":
        for name in LAST:
            missing = network.out_channels - len(weights[name])
            if missing == network.in_channels:
                after = [0, 0] * (weights[name].ndim - 1) + [0, missing]
                weights[name] = F.pad(weights[name], after)
    return weights
