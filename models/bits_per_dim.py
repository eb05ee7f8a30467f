"""How well a model knows images: `python -m models.bits_per_dim CHECKPOINT --data FOLDER`.

The last line of stdout is one JSON document. All T timesteps of an image are T evaluations of the
network; `--timesteps 50` takes 50 of them, for more scatter and no bias. A class-conditional model
is told the labels that the data has; `classes` says whether it was.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from models.arguments import expect_at_least, expect_device, expect_timesteps
from models.bound import Bound
from models.checkpoint import Checkpoint, load_checkpoint
from models.data import DataError, has_split, labels_of, load_images, load_labels
from models.fair_order import shuffled
from models.hub import local_folder
from models.likelihood import BitsPerDim, bits_per_dim
from models.sampling_net import DTYPES, SamplingNet, use_precision


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.bits_per_dim", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a folder, or an id on the Hugging Face Hub")
    parser.add_argument("--data", type=Path, required=True, help="as `data` of a training run")
    parser.add_argument("--split", default="t10k", help="of a folder of IDX files (default: t10k)")
    parser.add_argument(
        "--n", type=int, default=200, help="images, taken fairly from all (default: 200)"
    )
    parser.add_argument("--timesteps", type=int, help="for each image (default: all T)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=sorted(DTYPES), default="float32")
    args = parser.parse_args(argv)
    try:
        report = _report(args)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(report, allow_nan=False) + "\n")
    return 0


def likelihood(
    checkpoint: Checkpoint,
    images: Tensor,
    *,
    labels: Tensor | None = None,
    timesteps: int | None = None,
    seed: int = 0,
    batch: int = 64,
    device: str = "cpu",
    precision: str = "float32",
) -> BitsPerDim:
    """Of uint8 images (N, C, H, W), with the checkpoint's own variance and clipping.

    `labels` (N,) are their classes, for a network that knows them; it is told none otherwise.
    Raises ValueError where images, network and timesteps do not go together.
    """
    wanted, given = checkpoint.net.config.image_shape, tuple(images.shape[1:])
    if not len(images) or given != wanted:
        raise DataError(f"{len(images)} images of {given} are no images of the model's {wanted}")
    defaults = checkpoint.defaults
    net = SamplingNet(
        checkpoint.net,
        checkpoint.schedule.T,
        device=device,
        precision=precision,
        learned=defaults.variance == "learned_range",
    )
    bound = Bound(
        checkpoint.schedule,
        variance=defaults.variance,
        clip=defaults.clip,
        prediction=defaults.prediction,
    )
    return bits_per_dim(
        lambda *told: net(*(each.to(device) for each in told)).cpu(),
        bound,
        images,
        labels=labels,
        timesteps=timesteps,
        seed=seed,
        batch=batch,
    )


def true_classes(checkpoint: Checkpoint, source: Path, *, split: str, images: int) -> Tensor | None:
    """The labels of the data, int64 (images,) in the order of `shuffled`, where it has some and the
    model knows classes.

    Raises DataError for labels that are not one for each image, of the model's classes.
    """
    classes = checkpoint.net.config.classes
    if not classes:
        return None
    try:
        load_labels(source, split=split)
    except DataError:
        return None
    return shuffled(labels_of(source, split=split, images=images, classes=classes))


def _report(args: argparse.Namespace) -> dict[str, object]:
    expect_device(args.device)
    use_precision(args.precision, args.device)
    expect_at_least("--n", args.n, 1)
    expect_at_least("--batch", args.batch, 1)
    checkpoint = load_checkpoint(local_folder(args.checkpoint))
    expect_timesteps(args.timesteps, checkpoint.schedule.T)
    images = load_images(args.data, split=args.split)
    labels = true_classes(checkpoint, args.data, split=args.split, images=len(images))
    found = likelihood(
        checkpoint,
        shuffled(images, args.n),
        labels=None if labels is None else labels[: args.n],
        timesteps=args.timesteps,
        seed=args.seed,
        batch=args.batch,
        device=args.device,
        precision=args.precision,
    )
    data = f"{args.data}, {args.split}" if has_split(args.data, args.split) else str(args.data)
    told = {"data": data, "precision": args.precision, "seed": args.seed}
    return {"bits_per_dim": found.total, **asdict(found), "sha256": checkpoint.sha256, **told}


if __name__ == "__main__":
    raise SystemExit(main())
