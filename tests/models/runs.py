"""Short training runs on a tiny network, in this process."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.data import batches
from models.train import train
from models.train_config import Optimiser, TrainConfig
from models.trainer import Trainer
from models.training_run import Run
from tests.models.tiny import tiny_config


def tiny_run(
    *,
    network: dict[str, Any] | None = None,
    T: int = 4,  # noqa: N803
    **optimiser: Any,
) -> TrainConfig:
    """96 images in batches of 8, and a chain too short to be of use but quick to draw grids from;
    unless told otherwise."""
    given: dict[str, Any] = {"batch": 8, "images": 96, "learning_rate": 2e-3, "ema_decay": 0.9}
    return TrainConfig(tiny_config(**(network or {})), Optimiser(**given | optimiser), "", T=T)


def trainer_of(config: TrainConfig) -> Trainer:
    return Trainer(config, torch.device("cpu"))


def run_on(trainer: Trainer, images: Tensor, steps: int) -> list[float]:
    """So many steps from wherever it stands; their losses."""
    optimiser = trainer.config.optimiser
    start = trainer.images_seen // optimiser.batch
    stream = batches(images, batch=optimiser.batch, start=start, seed=optimiser.seed)
    return [float(trainer.step(next(stream))) for _ in range(steps)]


def trained(folder: Path, images: Tensor, config: TrainConfig, **every: int) -> Trainer:
    """`train` as the command line calls it, on a folder that may hold an earlier sitting."""
    trainer, run = trainer_of(config), Run(folder, "tiny")
    run.resume(trainer)
    train(trainer, images, run, **({"save_every": 32, "export_every": 96} | every))
    return trainer


def state_of(trainer: Trainer) -> dict[str, Any]:
    """All that a run carries on, except how long it took."""
    return {k: v for k, v in trainer.state_dict().items() if k != "seconds"}


def metrics_of(folder: Path) -> list[dict[str, float]]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def pictures_of(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "samples").iterdir())
