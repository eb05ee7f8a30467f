"""How good a model's images are: `python -m models.evaluate CHECKPOINT --data FOLDER --out FOLDER`.

Draws images (a killed run goes on where it was), measures them beside real ones, and writes
report.json, report.md, page.png and images.npz. The last line of stdout is the report's JSON.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from models.arguments import expect_at_least, expect_device, expect_timesteps
from models.bits_per_dim import likelihood, true_classes
from models.checkpoint import Checkpoint, load_checkpoint
from models.data import DataError, held_out, load_images
from models.evaluation.distances import NEIGHBOURS
from models.evaluation.drawing import Drawing, Recipe
from models.evaluation.extractor import Extractor, expect_features, extractor_at
from models.evaluation.kept import Kept
from models.evaluation.measure import (
    Images,
    Neighbours,
    distances,
    floors,
    histogram,
    histogram_of_real,
    neighbours,
)
from models.evaluation.page import draw_page, markdown
from models.fair_order import shuffled
from models.hub import local_folder
from models.progress import tracked
from models.samplers import SAMPLERS
from models.sampling_net import DTYPES, use_precision
from models.spacing import Spacing

ROUNDING = "round(clamp(x/2 + 0.5, 0, 1) * 255)"
CLASSIFIER = Path(__file__).parent / "pretrained" / "fashion-mnist-classifier"


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        report = evaluate(args)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(report, allow_nan=False) + "\n")
    return 0


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Draw, measure, write; the report. Raises ValueError saying which argument does not fit."""
    expect_device(args.device)
    use_precision(args.precision, args.device)
    extract = extractor_at(args.extractor, device=args.device)
    source, split = held_out(args.data, args.test)
    train, test = load_images(args.data), shuffled(load_images(source, split=split))
    checkpoint = load_checkpoint(local_folder(args.checkpoint))
    expect_like(checkpoint, train, test)
    expect_enough(args, train, test)
    expect_features(extract, test)
    known_as = classes_known(checkpoint, source, split, len(test), args)
    drawing = Drawing(args.out / "drawn", checkpoint, recipe_of(args))
    pixels, labels = drawn(drawing, args)
    of_real = Kept(extract, args.features, args.device) if args.features else extract
    generated = Images(pixels, extract(pixels))
    known, unseen = (Images(each, of_real(each)) for each in (train, test))
    near = neighbours(pixels, train, test, mirrored=learned_mirrored(checkpoint))
    report = {
        "model": checkpoint.card.get("name", str(args.checkpoint)),
        "weights_sha256": checkpoint.sha256,
        "how": ", ".join(filter(None, (args.sampler, f"{args.steps} steps", args.spacing))),
        "n": args.n,
        "rounding": ROUNDING,
        "data": str(args.data),
        "recipe": drawing.told,
        "images_sha256": save_images(args.out / "images.npz", pixels, labels),
        "extractor": extract.told | {"features": generated.features.values.shape[1]},
        "distances": distances(generated, known, unseen),
        "floors": floors(known, unseen, args.n),
        **classes_of(generated, labels, extract, drawing.names, unseen, known_as),
        "nearest_in_training_set": near.told,
        **bits_of(checkpoint, test, known_as, args),
    }
    write(args.out, report, pixels, train, near)
    return report


def recipe_of(args: argparse.Namespace) -> Recipe:
    """What the arguments ask to be drawn."""
    return Recipe(args.sampler, args.steps, args.seed, args.guidance, args.precision, args.spacing)


def expect_like(checkpoint: Checkpoint, train: Tensor, test: Tensor) -> None:
    """Raises DataError where real images are of another size or channels than the model's."""
    wanted = checkpoint.net.config.image_shape
    for pixels in (train, test):
        if tuple(pixels.shape[1:]) != wanted:
            raise DataError(f"--data: images are {tuple(pixels.shape[1:])}, the model's {wanted}")


def expect_enough(args: argparse.Namespace, train: Tensor, test: Tensor) -> None:
    """Raises ValueError where there are too few images for every figure, before any is drawn."""
    if args.batch < 1:
        raise ValueError(f"--batch: must be positive, got {args.batch}")
    for name, count in (("--n", args.n), ("--data", len(train)), ("--test", len(test))):
        if count <= NEIGHBOURS:
            raise ValueError(f"{name}: {count} images; needs {NEIGHBOURS + 1} at least")


def classes_known(
    checkpoint: Checkpoint, source: Path, split: str, images: int, args: argparse.Namespace
) -> Tensor | None:
    """The test images' classes, (images,), where the model knows such and the data has them.

    Raises ValueError where bits/dim cannot be had as asked, of images of other classes among them.
    """
    expect_at_least("--bits-per-dim", args.bits_per_dim, 0)
    expect_timesteps(args.timesteps, checkpoint.schedule.T)
    try:
        return true_classes(checkpoint, source, split=split, images=images)
    except DataError:
        if args.bits_per_dim:
            raise
        return None  # the other figures do without


def learned_mirrored(checkpoint: Checkpoint) -> bool:
    """Whether the card says that its training mirrored images at random."""
    config = checkpoint.card.get("config")
    return isinstance(config, dict) and config.get("flip") is True


def drawn(drawing: Drawing, args: argparse.Namespace) -> tuple[Tensor, Tensor | None]:
    """The images and the classes asked for, with a progress bar on stderr."""
    batches = -(-args.n // args.batch)
    pixels = drawing.images(
        args.n,
        batch=args.batch,
        device=args.device,
        progress=lambda firsts: tracked(firsts, "drawing", total=batches),
    )
    return pixels, drawing.labels(args.n)


def classes_of(
    generated: Images,
    labels: Tensor | None,
    extract: Extractor,
    names: tuple[str, ...],
    unseen: Images,
    known_as: Tensor | None,
) -> dict[str, dict[str, Any]]:
    """What the extractor takes the images for, if it says, and how often it is what was asked.

    The latter where the model's classes, `names`, are the extractor's. Beside them as many `unseen`
    images, of each class where it is `known_as` what they are.
    """
    seen, of_real = generated.features.classes, unseen.features.classes
    if seen is None or of_real is None:
        return {}
    found = histogram(seen, extract.classes, asked=labels is not None)
    found["real"] = histogram_of_real(of_real, extract.classes, len(seen), known_as)
    if labels is not None and names == extract.classes:
        found["as_asked"] = float((seen == labels).double().mean())
    return {"classes": found}


def bits_of(
    checkpoint: Checkpoint, test: Tensor, labels: Tensor | None, args: argparse.Namespace
) -> dict[str, Any]:
    """bits/dim of the first test images, where it was asked for."""
    if not args.bits_per_dim:
        return {}
    found = likelihood(
        checkpoint,
        test[: args.bits_per_dim],
        labels=None if labels is None else labels[: args.bits_per_dim],
        timesteps=args.timesteps,
        device=args.device,
        precision=args.precision,
    )
    return {"bits_per_dim": asdict(found)}


def save_images(path: Path, pixels: Tensor, labels: Tensor | None) -> str:
    """An .npz file of what was measured; its sha256."""
    arrays = {"images": pixels.numpy()}
    if labels is not None:
        arrays["labels"] = labels.numpy()
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(
    out: Path, report: dict[str, Any], pixels: Tensor, train: Tensor, near: Neighbours
) -> None:
    """What a run says of its images, for programs and for people."""
    (out / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    (out / "report.md").write_text(markdown(report))
    draw_page(out / "page.png", report, pixels, train, near)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    add = parser.add_argument
    add("checkpoint", type=Path, help="a folder, or an id on the Hugging Face Hub")
    add("--data", type=Path, required=True, help="the training images, as `data` of a run")
    add("--test", type=Path, help="held-out images (default: the test split of --data)")
    add("--out", type=Path, required=True, help="where images and report go")
    add("--n", type=int, default=2000, help="images to draw (default: 2000)")
    add("--sampler", choices=SAMPLERS, default="ddim")
    add("--steps", type=int, default=50)
    add("--spacing", choices=get_args(Spacing), help="of the steps (default: the sampler's own)")
    add("--seed", type=int, default=0)
    add("--guidance", type=float, default=1.0, help="towards the class, of models with classes")
    add("--extractor", type=Path, default=CLASSIFIER, help="a classifier's folder, or TorchScript")
    add("--features", type=Path, help="where those of real images are kept (default: nowhere)")
    add("--bits-per-dim", type=int, default=0, metavar="IMAGES", help="of so many test images")
    add("--timesteps", type=int, help="of each of these (default: all T)")
    add("--batch", type=int, default=50)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", choices=sorted(DTYPES), default="float32")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
