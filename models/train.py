"""Train a DDPM: `python -m models.train fashion-mnist --out runs/fashion-mnist`.

The run's folder holds all of it: `state.pt` (resume: the same command again), `metrics.jsonl`,
`samples/` (a grid from the EMA weights every so often) and `checkpoint/` (what is served).
On several GPUs: `torchrun --nproc-per-node 4 -m models.train ...`, see `processes`.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import torch
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.data import DataError, batches, labels_of, load_images
from models.fine_tuning import begin_with
from models.hub import local_folder
from models.objective import prior_bits
from models.pixels import from_uint8
from models.processes import device_of, join
from models.train_config import Optimiser, TrainConfig, read_config
from models.trainer import Trainer
from models.training_run import Run

log = logging.getLogger(__name__)
PRIOR_IMAGES = 1000  # that L_T is averaged over


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


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("config", help="a name under models/configs, or a path to a .toml file")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/<config>)")
    parser.add_argument("--data", type=Path, help="instead of the configuration's `data`")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--save-every", type=int, default=8_000, metavar="IMAGES")
    parser.add_argument("--export-every", type=int, default=40_000, metavar="IMAGES")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler()])
    name = Path(args.config).stem
    try:
        config = read_config(args.config)
        source = args.data or Path(config.data)
        images = _images(source, config)
        labels = None
        if config.labels:
            labels = labels_of(source, images=len(images), classes=len(config.labels))
        run = Run(args.out or Path("runs") / name, name)
        processes = join()
        trainer = Trainer(
            config, device_of(args.device), compiled=args.compile, processes=processes
        )
        run.resume(trainer)
        if config.start_from and not trainer.images_seen:
            begin_with(trainer, load_checkpoint(local_folder(Path(config.start_from))))
        if config.loss == "vlb":
            bits = prior_bits(trainer.schedule, from_uint8(images[:PRIOR_IMAGES]))
            log.info("L_T, which no training changes: %.3g bits/dim", bits)
    except ValueError as error:
        log.error("%s", error)
        return 2
    train(
        trainer,
        images,
        run,
        labels=labels,
        save_every=args.save_every,
        export_every=args.export_every,
    )
    processes.leave()
    return 0


def _images(source: Path, config: TrainConfig) -> Tensor:
    """The training images. Raises DataError where they do not fit the run."""
    images, wanted = load_images(source), config.network.image_shape
    if tuple(images.shape[1:]) != wanted:
        raise DataError(f"{source}: images are {tuple(images.shape[1:])}, network wants {wanted}")
    if len(images) < config.optimiser.batch:
        raise DataError(f"{source}: {len(images)} images; batch: {config.optimiser.batch} is more")
    return images


if __name__ == "__main__":
    raise SystemExit(main())
