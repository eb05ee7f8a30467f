"""Other layouts -> diffusers' folder, checked after writing.

    python -m models.convert SRC DST --size 32 [--variance fixed_large] [--weights training] ...

SRC is a file in the layout of the PyTorch ports of the paper's own networks (pesser/
pytorch_diffusion and ermongroup/ddim): tensors by name, or ermongroup's training checkpoint, a list
of [network, optimiser, epoch, step, average]. DST must not exist; it appears whole, or not at all.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusers_config import CheckpointError
from models.faults import one_line
from models.pesser import config_of, diffusers_names, refuse_other_layouts, under_new_names
from models.plan import FixedVariance
from models.schedule import NoiseSchedule, linear_schedule
from models.schedule_flags import add_schedule_flags, schedule_of
from models.unet import UNet, UNetConfig
from models.weights import parse_weights, tensors_of, unpickled
from models.whole_folder import whole_folder

EMA_ENTRY = 4  # of ermongroup's list; there only where an average was kept
FAULTS_NAMED = 3  # where a network does not fit, it may be in hundreds of places


def convert(
    source: Path,
    target: Path,
    *,
    size: int,
    schedule: NoiseSchedule | None = None,
    variance: FixedVariance = "fixed_small",
    ema: bool = True,
) -> Checkpoint:
    """Write `target`, read it back, hold it to the source. Raises CheckpointError.

    `size` is the image's height and width in pixels, `schedule` what the network was trained with,
    None the paper's: the file does not tell them. `ema` asks for the averaged weights where it has
    both.
    """
    if os.path.lexists(target):
        raise CheckpointError(f"{target}: exists already; nothing was written")
    config, weights = _recognised(source, size=size, ema=ema)
    schedule = schedule or linear_schedule()
    try:
        with whole_folder(target) as staged:
            save_checkpoint(staged, config, weights, schedule, variance=variance)
            return _verified(staged, weights, source)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{target}: cannot be written: {reason}") from error


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
    with _named(path):
        return under_new_names(weights, lambda name: name.removeprefix("module."))


def _recognised(source: Path, *, size: int, ema: bool) -> tuple[UNetConfig, dict[str, Tensor]]:
    """The network and all of its tensors, under diffusers' names. Raises CheckpointError."""
    ported = read_source(source, ema=ema)
    with _named(source):
        config = config_of(ported, sample_size=size)
        weights = diffusers_names(ported, levels=len(config.block_out_channels))
        _expect_fit(config, weights)
    return config, weights


def _chosen(content: Any, path: Path, *, ema: bool) -> Any:
    """The network of a training checkpoint: averaged where that is wanted."""
    if isinstance(content, dict):
        with _named(path):
            refuse_other_layouts(content)
    if not isinstance(content, list | tuple):
        return content
    entry = EMA_ENTRY if ema else 0
    if len(content) <= entry:
        hint = "; --weights training takes the others" if content and ema else ""
        raise CheckpointError(f"{path}: it has no averaged weights{hint}")
    return content[entry]


@contextmanager
def _named(source: Path) -> Iterator[None]:
    """Whatever is wrong inside is wrong with this file."""
    try:
        yield
    except ValidationError as error:
        raise CheckpointError(f"{source}: {one_line(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _expect_fit(config: UNetConfig, weights: dict[str, Tensor]) -> None:
    """Raises ValueError naming tensors that the network lacks, or that it would have otherwise."""
    with torch.device("meta"):  # shapes alone
        wanted = UNet(config).state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in weights]
    for name, tensor in weights.items():
        if name not in wanted:
            faults.append(f"{name!r} is none of its tensors")
        elif tensor.shape != wanted[name].shape:
            faults.append(f"{name} is {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}")
    if faults:
        more = f"; {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        said = "; ".join(faults[:FAULTS_NAMED])
        raise ValueError(f"does not fit its own network (by diffusers' names): {said}{more}")


def _verified(folder: Path, weights: dict[str, Tensor], source: Path) -> Checkpoint:
    """What was written, read again: every tensor of the source is there, to the bit."""
    try:
        written = load_checkpoint(folder)
    except CheckpointError as error:
        said = str(error).replace(f"{folder}/", "")  # which is gone when this is read
        raise CheckpointError(f"{source}: is not readable once converted: {said}") from error
    read = written.net.state_dict()
    for name, tensor in weights.items():
        if not torch.equal(read[name], tensor):
            raise CheckpointError(f"{source}: {name} did not come back as it was; nothing was kept")
    return written


def main(argv: list[str] | None = None) -> int:
    """The command line: one line on success, one on refusal."""
    args = _parser().parse_args(argv)
    try:
        done = convert(
            args.source,
            args.target,
            size=args.size,
            schedule=schedule_of(args),
            variance=args.variance,
            ema=args.weights == "ema",
        )
    except CheckpointError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    tensors = list(done.net.parameters())
    numbers = sum(tensor.numel() for tensor in tensors)
    sys.stdout.write(
        f"{args.target}: {len(tensors)} tensors, {numbers:,} parameters, "
        f"{done.schedule.name} schedule of {done.schedule.T} steps, read back and equal; "
        f"sha256 {done.sha256}\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.convert")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", type=int, required=True, help="height and width of an image")
    parser.add_argument("--variance", choices=get_args(FixedVariance), default="fixed_small")
    parser.add_argument("--weights", choices=("ema", "training"), default="ema")
    add_schedule_flags(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
