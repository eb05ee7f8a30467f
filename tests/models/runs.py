"""Short training runs on a tiny network, in this process."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.plan import Variance
from models.train_config import Optimiser, TrainConfig
from models.trainer import Trainer
from models.training_loop import labelled_batches, train
from models.training_run import Run
from tests.models.tiny import tiny_config


def tiny_run(
    *,
    network: dict[str, Any] | None = None,
    T: int = 4,  # noqa: N803
    labels: tuple[str, ...] = (),
    variance: Variance = "fixed_small",
    loss: Any = "simple",
    **optimiser: Any,
) -> TrainConfig:
    """96 images in batches of 8, and a chain too short to be of use but quick to draw grids from;
    unless told otherwise."""
    given: dict[str, Any] = {"batch": 8, "images": 96, "learning_rate": 2e-3, "ema_decay": 0.9}
    outputs = {"out_channels": 2} if variance == "learned_range" else {}
    return TrainConfig(
        tiny_config(**outputs | (network or {})),
        Optimiser(**given | optimiser),
        "",
        T=T,
        labels=labels,
        variance=variance,
        loss=loss,
    )


def trainer_of(config: TrainConfig) -> Trainer:
    return Trainer(config, torch.device("cpu"))


def run_on(
    trainer: Trainer, images: Tensor, steps: int, labels: Tensor | None = None
) -> list[float]:
    """So many steps from wherever it stands; their losses."""
    start = trainer.images_seen // trainer.config.optimiser.batch
    stream = labelled_batches(images, labels, trainer.config.optimiser, start=start)
    return [float(trainer.step(*next(stream))) for _ in range(steps)]


def trained(folder: Path, images: Tensor, config: TrainConfig, **options: Any) -> Trainer:
    """`train` as the command line calls it, on a folder that may hold an earlier sitting."""
    trainer, run = trainer_of(config), Run(folder, "tiny")
    run.resume(trainer)
    train(trainer, images, run, **({"save_every": 32, "export_every": 96} | options))
    return trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """All that a run carries on, except how long it took."""
    return {k: v for k, v in trainer.state_dict().items() if k != "seconds"}


def metrics_of(folder: Path) -> list[dict[str, float]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def pictures_of(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "samples").iterdir())
