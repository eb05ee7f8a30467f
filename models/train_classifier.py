"""Train the classifier that judges images: `python -m models.train_classifier CONFIG --out FOLDER`.

Data and the classes' names are those of a training configuration with labels; how often it is right
is counted on held-out images. The last line of stdout is one JSON document.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.arguments import expect_device
from models.data import held_out, load_labelled
from models.evaluation.classifier import (
    BATCH,
    Classifier,
    Kind,
    accuracy,
    save_classifier,
    train_classifier,
)
from models.progress import tracked
from models.train_config import read_config


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.train_classifier", description=__doc__)
    parser.add_argument("config", help="as of models.train, one with `labels`")
    parser.add_argument("--out", type=Path, required=True, help="the classifier's folder")
    parser.add_argument("--data", type=Path, help="instead of the configuration's `data`")
    parser.add_argument("--test", type=Path, help="held-out images (default: the test split)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    try:
        expect_device(args.device)
        config = read_config(args.config)
        if not config.labels:
            raise ValueError(f"{args.config}: labels: a classifier needs them; name the classes")
        source = args.data or Path(config.data)
        held_from, split = held_out(source, args.test)
        train = load_labelled(source, classes=len(config.labels))
        test = load_labelled(held_from, split=split, classes=len(config.labels))
        kind = Kind(train[0].shape[1], config.labels)
        net = fitted(*train, kind, epochs=args.epochs, seed=args.seed, device=args.device)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    said: dict[str, Any] = {
        "test_accuracy": round(accuracy(net, *test), 4),
        "data": str(source),
        "images": len(train[0]),
        "epochs": args.epochs,
        "seed": args.seed,
    }
    save_classifier(args.out, net, said)
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


def fitted(
    images: Tensor, labels: Tensor, kind: Kind, *, epochs: int, seed: int = 0, device: str = "cpu"
) -> Classifier:
    """A classifier after so many passes over the images, with a progress bar on stderr.

    Raises ValueError where that is not one step.
    """
    steps = epochs * (len(images) // BATCH)
    if steps < 1:
        raise ValueError(f"epochs: {epochs} of {len(images)} images are no batch of {BATCH}")
    run = train_classifier(images, labels, kind, steps=steps, seed=seed, device=device)
    *_, (net, _loss) = tracked(run, "classifier", total=steps)
    return net


if __name__ == "__main__":
    raise SystemExit(main())
