"""A DCGAN, a VAE and a DDPM, trained for the same seconds on the same images and machine.

    python -m benchmarks.generative --data /usr/share/datasets/fashion-mnist --out runs/generative

One after the other, so that each has the machine for itself; then each draws --n images, and the
same extractor judges them all. The checkpoint that ships is shown as well, with the time it took.
The default of --seconds makes it an hour on two cores; a run that was stopped goes on. Writes
report.json, report.md and grids.png; progress on stderr; the last line of stdout is the report.
"""

import argparse
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.generative.contest import Artist, Contestant, Spent, draw, draw_s, train
from benchmarks.generative.ddpm import Ddpm, Shipped
from benchmarks.generative.gan import Gan
from benchmarks.generative.report import draw_grids, table
from benchmarks.generative.vae import Vae
from models.arguments import expect_device
from models.checkpoint import load_checkpoint
from models.data import DataError, held_out, load_images
from models.evaluate import CLASSIFIER
from models.evaluation.distances import NEIGHBOURS
from models.evaluation.extractor import Extractor, expect_features, extractor_at
from models.evaluation.measure import Images, distances, floors, histogram
from models.fair_order import shuffled
from models.plan import REVISION
from models.train_config import read_config

SHIPPED = Path("models/pretrained/fashion-mnist")
NAMES = ("gan", "vae", "ddpm")
TITLES = {"gan": "DCGAN", "vae": "VAE", "ddpm": "DDPM", "shipped": "DDPM, as it ships"}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        report = run(args)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(report, allow_nan=False) + "\n")
    return 0


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train, draw, judge, write; the report. Raises ValueError saying what does not fit."""
    expect_device(args.device)
    if not 0.0 <= args.seconds < math.inf:
        raise ValueError(f"--seconds: must be a finite number, got {args.seconds}")
    extract = extractor_at(args.extractor, device=args.device)
    source, split = held_out(args.data, args.test)
    train_pixels = load_images(args.data)
    test_pixels = shuffled(load_images(source, split=split))
    shape = _shape(train_pixels, test_pixels, args.n)
    expect_features(extract, test_pixels)
    contestants = {name: contestant_of(name, shape, args) for name in NAMES}
    shipped = shipped_of(shape, args)
    settle(args, shape)
    drawn: dict[str, Tensor] = {}
    rows: list[dict[str, Any]] = []
    for name, contestant in contestants.items():
        spent = train(contestant, train_pixels, args.out / name, seconds=args.seconds)
        rows.append(told(name, contestant, spent))
        drawn[name] = draw(contestant, args.out / name, args.n, images_seen=spent.images)
    if shipped is not None:
        artist, spent = shipped
        rows.append(told("shipped", artist, spent))
        drawn["shipped"] = draw(artist, args.out / "shipped", args.n, images_seen=spent.images)
    judged = Judge(extract, train_pixels, test_pixels)
    report = {
        "seconds": args.seconds,
        "n": args.n,
        "steps": args.steps,
        "threads": torch.get_num_threads(),
        "device": args.device,
        "data": str(args.data),
        "extractor": extract.told,
        "floors": floors(judged.train, judged.test, args.n),
        "contestants": [row | judged.of(drawn[row["key"]]) for row in rows],
    }
    (args.out / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    (args.out / "report.md").write_text(table(report))
    draw_grids(args.out / "grids.png", drawn, TITLES)
    return report


def contestant_of(name: str, shape: tuple[int, int, int], args: argparse.Namespace) -> Contestant:
    """A fresh one."""
    if name == "gan":
        return Gan(shape, seed=args.seed, device=args.device)
    if name == "vae":
        return Vae(shape, seed=args.seed, device=args.device)
    config = read_config(args.config)
    if config.network.image_shape != shape or config.labels:
        raise ValueError(f"--config: {args.config} is not for images of {shape} without classes")
    return Ddpm(config, steps=args.steps, device=args.device)


def shipped_of(
    shape: tuple[int, int, int], args: argparse.Namespace
) -> tuple[Shipped, Spent] | None:
    """The checkpoint, if it is to be shown, and what its card says it had, in all if it knows."""
    if args.shipped is None:
        return None
    checkpoint = load_checkpoint(args.shipped)
    config = checkpoint.net.config
    if config.image_shape != shape or config.num_class_embeds:
        raise ValueError(
            f"--shipped: {args.shipped} does not draw images of {shape} without classes"
        )
    spent = _spent(checkpoint.card)
    return Shipped(checkpoint, steps=args.steps, device=args.device), spent


def _spent(card: dict[str, Any]) -> Spent:
    """With what its beginning had learned, where the card tells: a rival has no such beginning."""
    images = card.get("images_in_all", card.get("images_seen", 0))
    return Spent(images, card.get("training_s_in_all", card.get("training_s", 0.0)))


def told(name: str, artist: Artist, spent: Spent) -> dict[str, Any]:
    """A row, before its images are judged."""
    return {
        "key": name,
        "name": TITLES[name],
        "parameters": artist.parameters,
        "training_s": round(spent.seconds, 1),
        "images": spent.images,
        "draw_s": round(draw_s(artist), 6),
    }


class Judge:
    """Real images, looked at once."""

    def __init__(self, extract: Extractor, train: Tensor, test: Tensor) -> None:
        self._extract = extract
        self.train, self.test = (Images(pixels, extract(pixels)) for pixels in (train, test))

    def of(self, pixels: Tensor) -> dict[str, Any]:
        """Distances, and which classes came up."""
        images = Images(pixels, self._extract(pixels))
        found = distances(images, self.train, self.test)
        if images.features.classes is not None:
            found["classes"] = histogram(images.features.classes, self._extract.classes)
        return found


def settle(args: argparse.Namespace, shape: tuple[int, int, int]) -> None:
    """Keep what decides how they learn and draw.

    Raises ValueError for a folder of another contest.
    """
    kept = args.out / "contest.json"
    wanted = {"data": str(args.data), "shape": list(shape), "seed": args.seed, "revision": REVISION}
    told = json.dumps(wanted | {"config": args.config, "steps": args.steps})
    args.out.mkdir(parents=True, exist_ok=True)
    if kept.exists() and kept.read_text() != told:
        raise ValueError(f"{args.out}: holds another contest; choose another --out")
    kept.write_text(told)


def _shape(train: Tensor, test: Tensor, n: int) -> tuple[int, int, int]:
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"--test: images of {tuple(test.shape[1:])}, not {tuple(train.shape[1:])}")
    _, channels, height, width = train.shape
    if height != width or height % 4:
        raise DataError(f"--data: images are {height}x{width}; must be square, a multiple of 4")
    if min(n, len(test)) <= NEIGHBOURS:
        raise ValueError(f"--n: needs {NEIGHBOURS + 1} images at least")
    return channels, height, width


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generative", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    add("--test", type=Path, help="held-out images (default: the test split of --data)")
    add("--out", type=Path, default=Path("runs/generative"))
    add("--seconds", type=float, default=800.0, help="of training, for each (default: 800)")
    add("--n", type=int, default=2000, help="images each draws (default: 2000)")
    add("--config", default="fashion-mnist", help="the DDPM's, as of models.train")
    add("--steps", type=int, default=50, help="of DDIM (default: 50)")
    add("--shipped", type=Path, default=SHIPPED, help="a checkpoint to show beside them")
    add("--no-shipped", dest="shipped", action="store_const", const=None)
    add("--extractor", type=Path, default=CLASSIFIER, help="as of models.evaluate")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
