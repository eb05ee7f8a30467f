"""Fine-tuning: a run that begins with the weights of a trained network."""

import logging
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from models.checkpoint import Checkpoint
from models.diffusers_config import CheckpointError
from models.model_card import past_of
from models.trainer import Trainer
from models.unet import UNetConfig

log = logging.getLogger(__name__)
CLASSES = "class_embedding.weight"
CLASS_SCALE = 0.5  # of the size of what a network knows of t; from zero, rows grow too slowly
OF_T = "time_embedding.linear_2.bias"
LAST = ("conv_out.weight", "conv_out.bias")
FREE = {"dropout", "sample_size"}  # the weights mean the same, whatever these are


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
    if others := "; ".join(_others(checkpoint.net.config, trainer.config.network)):
        raise CheckpointError(f"start_from: {others}")
    trainer.net.load_state_dict(_with_what_is_new(dict(checkpoint.net.state_dict()), trainer))
    trainer.ema.load_state_dict(trainer.net.state_dict())
    trainer.past = past_of(checkpoint.card)


def _others(before: UNetConfig, network: UNetConfig) -> Iterator[str]:
    """What makes a network compute something else, though every weight may fit: key and values.

    Classes may come or go, and outputs come: `_with_what_is_new` knows those.
    """
    free = set(FREE)
    if None in (before.num_class_embeds, network.num_class_embeds):
        free.add("num_class_embeds")
    if before.out_channels < network.out_channels:
        free.add("out_channels")
    for key in (field.name for field in fields(UNetConfig) if field.name not in free):
        value, wanted = getattr(before, key), getattr(network, key)
        if value != wanted:
            yield f"{key}: {value}, but the run's {wanted}"


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
