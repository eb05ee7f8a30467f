"""Train a DDPM: `python -m models.train fashion-mnist --out runs/fashion-mnist`.

The run's folder holds all of it: `state.pt` (resume: the same command again), `metrics.jsonl`,
`samples/` (a sheet from the EMA weights every so often) and `checkpoint/` (what is served).
On several GPUs: `torchrun --nproc-per-node 4 -m models.train ...`, see `processes`.
"""

import argparse
import logging
from pathlib import Path

import torch
from rich.logging import RichHandler
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.data import DataError, labels_of, load_images
from models.fine_tuning import begin_with
from models.hub import local_folder
from models.objective import prior_bits
from models.pixels import from_uint8
from models.processes import device_of, join
from models.train_config import TrainConfig, read_config
from models.trainer import Trainer
from models.training_loop import train
from models.training_run import Run

log = logging.getLogger(__name__)
PRIOR_IMAGES = 1000  # that L_T is averaged over
LEAST_SAVE_EVERY, LEAST_EXPORT_EVERY = 8_000, 40_000
SAVES, EXPORTS = 500, 100  # of a long run, at most: each state of a large network is gigabytes


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("config", help="a name under models/configs, or a path to a .toml file")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/<config>)")
    parser.add_argument("--data", type=Path, help="instead of the configuration's `data`")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    every = (
        ("--save-every", LEAST_SAVE_EVERY, SAVES),
        ("--export-every", LEAST_EXPORT_EVERY, EXPORTS),
    )
    for name, least, times in every:
        told = f"default: {least:,}, and no more than {times} times in a run"
        parser.add_argument(name, type=int, metavar="IMAGES", help=told)
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
    save_every, export_every = intervals(
        config.optimiser.images, args.save_every, args.export_every
    )
    train(trainer, images, run, labels=labels, save_every=save_every, export_every=export_every)
    processes.leave()
    return 0


def intervals(
    total: int, save_every: int | None = None, export_every: int | None = None
) -> tuple[int, int]:
    """Images between saves and between exports of a run of `total`; those given are kept."""
    return (
        save_every or max(LEAST_SAVE_EVERY, total // SAVES),
        export_every or max(LEAST_EXPORT_EVERY, total // EXPORTS),
    )


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
