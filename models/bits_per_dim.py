"""How well a model knows images: `python -m models.bits_per_dim CHECKPOINT --data FOLDER`.

The last line of stdout is one JSON document. All T timesteps of an image are T evaluations of the
network; `--timesteps 50` takes 50 of them, for more scatter and no bias.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from models.bound import Bound
from models.checkpoint import Checkpoint, load_checkpoint
from models.data import DataError, load_images
from models.hub import local_folder
from models.likelihood import BitsPerDim, bits_per_dim
from models.sampling_net import DTYPES, SamplingNet


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.bits_per_dim", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a folder, or an id on the Hugging Face Hub")
    parser.add_argument("--data", type=Path, required=True, help="as `data` of a training run")
    parser.add_argument("--split", default="t10k", help="of a folder of IDX files (default: t10k)")
    parser.add_argument("--n", type=int, default=200, help="the first so many images")
    parser.add_argument("--timesteps", type=int, help="for each image (default: all T)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=sorted(DTYPES), default="float32")
    args = parser.parse_args(argv)
    try:
        report = _report(load_checkpoint(local_folder(args.checkpoint)), args)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def likelihood(
    checkpoint: Checkpoint,
    images: Tensor,
    *,
    timesteps: int | None = None,
    seed: int = 0,
    batch: int = 64,
    device: str = "cpu",
    precision: str = "float32",
) -> BitsPerDim:
    """Of uint8 images (N, C, H, W), with the checkpoint's own variance and clipping.

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
        lambda x_t, t: net(x_t.to(device), t.to(device)).cpu(),
        bound,
        images,
        timesteps=timesteps,
        seed=seed,
        batch=batch,
    )


def _report(checkpoint: Checkpoint, args: argparse.Namespace) -> dict[str, object]:
    found = likelihood(
        checkpoint,
        load_images(args.data, split=args.split)[: args.n],
        timesteps=args.timesteps,
        seed=args.seed,
        batch=args.batch,
        device=args.device,
        precision=args.precision,
    )
    told = {"data": f"{args.data}, {args.split}", "precision": args.precision, "seed": args.seed}
    return {"bits_per_dim": found.total, **asdict(found), "sha256": checkpoint.sha256, **told}


if __name__ == "__main__":
    raise SystemExit(main())
