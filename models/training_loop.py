"""The loop of a training run: steps, and every so many images a save, more seldom an export."""

import math
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

Stream = Iterator[tuple[Tensor, Tensor | None]]


class Diverged(Exception):
    """The loss or the weights are no longer finite: nothing that follows would be worth saving."""


def train(
    trainer: Trainer,
    images: Tensor,
    run: Run,
    *,
    labels: Tensor | None = None,
    save_every: int,
    export_every: int,
) -> None:
    """Run to the configured number of images, saving and exporting every so many of them.

    An export follows the save of its state, so that who dies in it has lost no training. What it
    did not finish is made good at the next save, not on the spot, where it might die again and
    again; only a run that has ended has nothing else left to do.
    Raises Diverged before anything is saved.
    """
    optimiser = trainer.config.optimiser
    if trainer.images_seen >= optimiser.images:
        _export_if_due(trainer, run, export_every)
    start = trainer.images_seen // optimiser.batch
    stream = labelled_batches(images, labels, optimiser, start=start)
    for metrics in _intervals(trainer, stream, save_every):
        _expect_finite(trainer, run, metrics)
        if trainer.processes.first:
            run.save(trainer, metrics)
        _export_if_due(trainer, run, export_every)


def labelled_batches(
    images: Tensor, labels: Tensor | None, optimiser: Optimiser, *, start: int
) -> Stream:
    """Batches of images, each with its labels if there are any."""
    shuffle = partial(batches, batch=optimiser.batch, start=start, seed=optimiser.seed)
    return zip(shuffle(images), repeat(None) if labels is None else shuffle(labels), strict=False)


def _expect_finite(trainer: Trainer, run: Run, metrics: dict[str, float]) -> None:
    """Raises Diverged where loss or weights are not, in every process alike."""
    if math.isfinite(metrics["loss"]) and trainer.finite():
        return
    what = f"loss {metrics['loss']}" if not math.isfinite(metrics["loss"]) else "infinite weights"
    seen, optimiser = trainer.images_seen, trainer.config.optimiser
    raise Diverged(
        f"diverged: {what} after {seen} images, the last at learning rate "
        f"{optimiser.rate_at(seen - optimiser.batch):.3g}; {run.folder} stays as last saved. Try a "
        "lower learning_rate with another --out, and start_from its checkpoint if it has one"
    )


def _export_if_due(trainer: Trainer, run: Run, export_every: int) -> None:
    """Whether it is follows from what the folder holds, whoever died over it."""
    if not trainer.processes.first:
        return
    seen, last = trainer.images_seen, run.exported(trainer.images_seen)
    ended = seen >= trainer.config.optimiser.images
    if seen // export_every > last // export_every or (ended and seen > last):
        run.export(trainer)


def _intervals(trainer: Trainer, stream: Stream, save_every: int) -> Iterator[dict[str, float]]:
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
            loss = _mean(torch.stack(losses), overflows_skipped=trainer.scaler.is_enabled())
            elapsed = time.monotonic() - started
            trainer.seconds += elapsed
            bar.update(task, loss=f"L_{trainer.config.loss} {loss:.4g}")
            yield _metrics(trainer, loss, images=trainer.images_seen - first, elapsed_s=elapsed)


def _mean(losses: Tensor, *, overflows_skipped: bool) -> float:
    """NaN where any is; but in float16 only where all are: a step that overflows is not taken."""
    return float((losses[losses.isfinite()] if overflows_skipped else losses).mean())


def _metrics(trainer: Trainer, loss: float, *, images: int, elapsed_s: float) -> dict[str, float]:
    """The line of an interval of so many images, its mean loss among it."""
    return {
        "images": trainer.images_seen,
        "loss": float(f"{loss:.4g}"),
        "learning_rate": trainer.config.optimiser.rate_at(trainer.images_seen),
        "images_per_s": round(images / elapsed_s, 1),
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
