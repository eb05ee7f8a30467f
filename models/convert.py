"""Other layouts -> diffusers' folder, checked after writing.

    python -m models.convert SRC DST --size 32 [--variance fixed_large] [--weights training]

SRC is a file in the layout of the PyTorch ports of the paper's own networks (pesser/
pytorch_diffusion and ermongroup/ddim): tensors by name, or ermongroup's training checkpoint, a list
of [network, optimiser, epoch, step, average]. DST must not exist; it appears whole, or not at all.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusers_config import CheckpointError
from models.faults import one_line
from models.pesser import config_of, diffusers_names
from models.plan import FixedVariance
from models.schedule import linear_schedule
from models.unet import UNetConfig
from models.weights import parse_weights, tensors_of, unpickled

EMA_ENTRY = 4  # of ermongroup's list; there only where an average was kept


def convert(
    source: Path,
    target: Path,
    *,
    size: int,
    variance: FixedVariance = "fixed_small",
    ema: bool = True,
) -> Checkpoint:
    """Write `target`, read it back, hold it to the source. Raises CheckpointError.

    `size` is the image's height and width: the tensors' shapes do not tell it. `ema` asks for the
    averaged weights where the file has both.
    """
    if target.exists():
        raise CheckpointError(f"{target}: exists already; nothing was written")
    weights = read_source(source, ema=ema)
    config = _config(weights, source, size)
    renamed = diffusers_names(weights, levels=len(config.block_out_channels))
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        save_checkpoint(staged, config, renamed, linear_schedule(), variance=variance)
        _verify(load_checkpoint(staged), renamed, source)
        staged.chmod(0o755)  # mkdtemp makes it for the owner alone
        staged.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return load_checkpoint(target)


def read_source(path: Path, *, ema: bool = True) -> dict[str, Tensor]:
    """Tensors by name, without DataParallel's prefix. Raises CheckpointError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix == ".safetensors":
        weights = parse_weights(raw, path)
    else:
        weights = tensors_of(_chosen(unpickled(raw, path), path, ema=ema), path)
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


def _chosen(content: Any, path: Path, *, ema: bool) -> Any:
    """The network of a training checkpoint: averaged where that is wanted."""
    if not isinstance(content, list | tuple):
        return content
    entry = EMA_ENTRY if ema else 0
    if len(content) <= entry:
        hint = "; --weights training takes the others" if content and ema else ""
        raise CheckpointError(f"{path}: it has no averaged weights{hint}")
    return content[entry]


def _config(weights: dict[str, Tensor], source: Path, size: int) -> UNetConfig:
    try:
        return config_of(weights, sample_size=size)
    except ValidationError as error:
        raise CheckpointError(f"{source}: {one_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _verify(written: Checkpoint, weights: dict[str, Tensor], source: Path) -> None:
    """Every tensor of the source is there, to the bit."""
    read = written.net.state_dict()
    for name, tensor in weights.items():
        if not torch.equal(read[name], tensor.float()):
            raise CheckpointError(f"{source}: {name} did not come back as it was; nothing was kept")


def main(argv: list[str] | None = None) -> int:
    """The command line: one line on success, one on refusal."""
    parser = argparse.ArgumentParser(prog="python -m models.convert")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", type=int, required=True, help="height and width of an image")
    parser.add_argument("--variance", choices=get_args(FixedVariance), default="fixed_small")
    parser.add_argument("--weights", choices=("ema", "training"), default="ema")
    args = parser.parse_args(argv)
    try:
        done = convert(
            args.source,
            args.target,
            size=args.size,
            variance=args.variance,
            ema=args.weights == "ema",
        )
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    tensors = list(done.net.parameters())
    numbers = sum(tensor.numel() for tensor in tensors)
    sys.stdout.write(
        f"{args.target}: {len(tensors)} tensors, {numbers:,} parameters, read back and equal; "
        f"sha256 {done.sha256}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
