"""The loop of a training run: steps, and every so many images a save, more seldom an export."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import repeat

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from models.data import batches
from models.train_config import Optimiser
from models.trainer import Trainer
from models.training_run import Run


def train(
    trainer: Trainer,
    images: Tensor,
    run: Run,
    *,
    labels: Tensor | None = None,
    save_every: int,
    export_every: int,
) -> None:
    """Run to the configured number of images, saving and exporting every so many of them."""
    optimiser = trainer.config.optimiser
    stream = labelled_batches(
        images, labels, optimiser, start=trainer.images_seen // optimiser.batch
    )
    exports = trainer.images_seen // export_every
    for metrics in _intervals(trainer, stream, save_every):
        if not trainer.processes.first:
            continue
        finished = trainer.images_seen >= optimiser.images
        if finished or trainer.images_seen // export_every > exports:
            run.export(trainer, metrics)  # before its state: a run killed here exports again
        exports = trainer.images_seen // export_every
        run.save(trainer, metrics)


def labelled_batches(
    images: Tensor, labels: Tensor | None, optimiser: Optimiser, *, start: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Batches of images, each with its labels if there are any."""
    shuffle = partial(batches, batch=optimiser.batch, start=start, seed=optimiser.seed)
    return zip(shuffle(images), repeat(None) if labels is None else shuffle(labels), strict=False)


def _intervals(
    trainer: Trainer, stream: Iterator[tuple[Tensor, Tensor | None]], save_every: int
) -> Iterator[dict[str, float]]:
    """Train; yield the metrics of each `save_every` images, with a progress bar on stderr."""
    total = trainer.config.optimiser.images
    with _progress_bar(shown=trainer.processes.first) as bar:
        task = bar.add_task("training", total=total, completed=trainer.images_seen, loss="")
        while trainer.images_seen < total:
            started, first = time.monotonic(), trainer.images_seen
            losses = []
            while trainer.images_seen < min(first + save_every, total):
                losses.append(trainer.step(*next(stream)))
                bar.update(task, completed=trainer.images_seen)
            elapsed = time.monotonic() - started
            trainer.seconds += elapsed
            loss = float(torch.stack(losses).mean())
            bar.update(task, loss=f"L_{trainer.config.loss} {loss:.4g}")
            yield {
                "images": trainer.images_seen,
                "loss": float(f"{loss:.4g}"),
                "learning_rate": trainer.config.optimiser.rate_at(trainer.images_seen),
                "images_per_s": round((trainer.images_seen - first) / elapsed, 1),
                "seconds": round(trainer.seconds, 1),
            }


def _progress_bar(*, shown: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, refresh_per_second=1, disable=not shown)
