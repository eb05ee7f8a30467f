"""Train a DDPM: `python -m models.train fashion-mnist --out runs/fashion-mnist`.

The run's folder holds all of it: `state.pt` (resume: the same command again), `metrics.jsonl`,
`samples/` (a sheet from the EMA weights every so often) and `checkpoint/` (what is served).
On several GPUs: `torchrun --nproc-per-node 4 -m models.train ...`, see `processes`.
Exit status: 0 when trained, 2 for what cannot be, 1 when the run diverged.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.logging import RichHandler
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.data import DataError, digest_of, load_images, load_labelled
from models.fine_tuning import begin_with
from models.hub import local_folder
from models.objective import prior_bits
from models.pixels import from_uint8
from models.processes import device_of, join
from models.train_config import TrainConfig, read_config
from models.trainer import Trainer
from models.training_loop import Diverged, train
from models.training_run import Run

log = logging.getLogger(__name__)
PRIOR_IMAGES = 1000  # that L_T is averaged over
LEAST_SAVE_EVERY, LEAST_EXPORT_EVERY = 8_000, 40_000
SAVES, EXPORTS = 500, 100  # of a long run, at most: each state of a large network is gigabytes


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, read and found to fit."""

    trainer: Trainer
    run: Run
    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor | None  # (N,)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler()])
    try:
        expect_positive(args)
        config = read_config(args.config)
        ready = prepared(config, args)
    except ValueError as error:
        log.error("%s", error)
        return 2
    return trained(ready, args)


def expect_positive(args: argparse.Namespace) -> None:
    """Raises ValueError for an interval without images; one not given follows from the length."""
    for name, images in (("--save-every", args.save_every), ("--export-every", args.export_every)):
        if images is not None and images < 1:
            raise ValueError(f"{name}: must be positive, got {images}")


def prepared(config: TrainConfig, args: argparse.Namespace) -> Prepared:
    """Read all that the arguments name; resumed where the run's folder holds a state.

    Raises ValueError, for data and device before the folder is made; one of another run is left
    alone.
    """
    device, name = device_of(args.device), Path(args.config).stem
    source = args.data or Path(config.data)
    images, labels = _data(source, config)
    run = Run(args.out or Path("runs") / name, name, digest_of(images, labels))
    trainer = Trainer(config, device, compiled=args.compile, processes=join(device))
    run.resume(trainer)
    trainer.processes.expect_agreement(trainer.images_seen, device)
    if config.start_from and not trainer.images_seen:
        begin_with(trainer, load_checkpoint(local_folder(Path(config.start_from))))
    if config.loss == "vlb":
        bits = prior_bits(trainer.schedule, from_uint8(images[:PRIOR_IMAGES]))
        log.info("L_T, which no training changes: %.3g bits/dim", bits)
    return Prepared(trainer, run, images, labels)


def trained(ready: Prepared, args: argparse.Namespace) -> int:
    """Train to the end; the exit status."""
    trainer, processes, status = ready.trainer, ready.trainer.processes, 0
    save_every, export_every = intervals(
        trainer.config.optimiser.images, args.save_every, args.export_every
    )
    try:
        train(
            trainer,
            ready.images,
            ready.run,
            labels=ready.labels,
            save_every=save_every,
            export_every=export_every,
        )
    except Diverged as error:  # in every process at once: all can leave as usual
        status = 1
        if processes.first:
            log.error("%s", error)
    processes.leave()
    return status


def intervals(
    total: int, save_every: int | None = None, export_every: int | None = None
) -> tuple[int, int]:
    """Images between saves and between exports of a run of `total`; those given are kept."""
    return (
        save_every or max(LEAST_SAVE_EVERY, total // SAVES),
        export_every or max(LEAST_EXPORT_EVERY, total // EXPORTS),
    )


def _data(source: Path, config: TrainConfig) -> tuple[Tensor, Tensor | None]:
    """The training images, and labels if it is by class. Raises DataError where they do not fit."""
    labels, wanted = None, config.network.image_shape
    if config.labels:
        images, labels = load_labelled(source, classes=len(config.labels))
    else:
        images = load_images(source)
    if tuple(images.shape[1:]) != wanted:
        raise DataError(f"{source}: images are {tuple(images.shape[1:])}, network wants {wanted}")
    if len(images) < config.optimiser.batch:
        raise DataError(f"{source}: {len(images)} images; batch: {config.optimiser.batch} is more")
    return images, labels


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    add = parser.add_argument
    add("config", help="a name under models/configs, or a path to a .toml file")
    add("--out", type=Path, help="the run's folder (default: runs/<config>)")
    add("--data", type=Path, help="instead of the configuration's `data`")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--compile", action="store_true", help="torch.compile the network")
    add("--save-every", type=int, metavar="IMAGES", help=_default(LEAST_SAVE_EVERY, SAVES))
    add("--export-every", type=int, metavar="IMAGES", help=_default(LEAST_EXPORT_EVERY, EXPORTS))
    return parser


def _default(least: int, times: int) -> str:
    return f"default: {least:,}, and no more than {times} times in a run"


if __name__ == "__main__":
    raise SystemExit(main())
