"""What drawn images teach: `python -m models.accuracy_score OUT/images.npz --data FOLDER`.

The classification accuracy score (Ravuri & Vinyals 2019): a classifier learns from drawn images
and is asked about real ones; beside it the same one, trained for as many steps on as many real
images, and on all of them. A model that leaves kinds of images out, or blurs them, teaches less.
images.npz is what `models.evaluate` leaves of a model with classes; the report beside it says how
it was drawn. The last line of stdout is one JSON document.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.arguments import expect_device
from models.data import DataError, held_out, load_labelled, load_labels
from models.evaluation.classifier import BATCH, Kind, accuracy, train_classifier
from models.progress import tracked

Labelled = tuple[Tensor, Tensor]  # images uint8 (N, C, H, W), labels (N,)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        report = score(args)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(report, allow_nan=False) + "\n")
    return 0


def score(args: argparse.Namespace) -> dict[str, Any]:
    """Train three, ask all about the test images. Raises ValueError for what does not fit."""
    expect_device(args.device)
    if args.steps < 1:
        raise ValueError(f"--steps: must be positive, got {args.steps}")
    classes = int(load_labels(args.data).max()) + 1
    source, split = held_out(args.data, args.test)
    real = load_labelled(args.data, classes=classes)
    test = load_labelled(source, split=split, classes=classes)
    drawn = load_labelled(args.images, classes=classes)
    taught = {
        "drawn": drawn,
        "as_many_real": some_of(real, len(drawn[0]), seed=args.seed),
        "all_real": real,
    }
    for name, (images, _) in taught.items():
        if len(images) < BATCH:
            raise DataError(f"{name}: {len(images)} images do not fill a batch of {BATCH}")
        if images.shape[1:] != test[0].shape[1:]:
            found, wanted = tuple(images.shape[1:]), tuple(test[0].shape[1:])
            raise DataError(f"{name}: images are {found}, the test images {wanted}")
    return {
        **provenance(args.images),
        "data": str(args.data),
        "classes": classes,
        "steps": args.steps,
        "seed": args.seed,
        "test_images": len(test[0]),
        "n": {name: len(images) for name, (images, _) in taught.items()},
        "accuracy": {
            name: accuracy_after(name, pair, test, classes, args) for name, pair in taught.items()
        },
    }


def provenance(images: Path) -> dict[str, Any]:
    """The file, its sha256, and what the report of `models.evaluate` beside it says of its making.

    `drawn_by` is None where there is no report of this very file.
    """
    sha256 = hashlib.sha256(images.read_bytes()).hexdigest() if images.is_file() else None
    report = _report_beside(images)
    of_these = sha256 is not None and report.get("images_sha256") == sha256
    keys = ("model", "weights_sha256", "recipe")
    told = {key: report.get(key) for key in keys} if of_these else None
    return {"images": str(images), "images_sha256": sha256, "drawn_by": told}


def _report_beside(images: Path) -> dict[str, Any]:
    try:
        report = json.loads(images.with_name("report.json").read_text())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def some_of(real: Labelled, count: int, *, seed: int) -> Labelled:
    """So many at random, for training sets may come in order; all where there are no more."""
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(real[0]), generator=dice)[:count]
    return real[0][chosen], real[1][chosen]


def accuracy_after(
    name: str, taught: Labelled, test: Labelled, classes: int, args: argparse.Namespace
) -> float:
    """The share of test images that a classifier names, taught by these alone."""
    kind = Kind(test[0].shape[1], tuple(map(str, range(classes))))
    steps = train_classifier(*taught, kind, steps=args.steps, seed=args.seed, device=args.device)
    *_, (net, _loss) = tracked(steps, name, total=args.steps)
    return round(accuracy(net, *test), 4)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.accuracy_score", description=__doc__)
    add = parser.add_argument
    add("images", type=Path, help="drawn images with their labels, an .npz file")
    add("--data", type=Path, required=True, help="real training images with labels")
    add("--test", type=Path, help="held-out images (default: the test split of --data)")
    add("--steps", type=int, default=2000, help="of 128 images, for each (default: 2000)")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
