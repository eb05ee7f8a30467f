"""Tensors from a file that may be anyone's: safetensors, or a pickle that may hold nothing else.

Nothing in a file is executed: pickles go through torch's weights-only reader, which refuses all
but tensors and containers.
"""

import io
import re
import struct
from pathlib import Path
from pickle import UnpicklingError  # nosec B403  # the error alone
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from models.diffusers_config import CheckpointError

SAFETENSORS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"
LEGACY_ATTENTION = re.compile(r"(.*\battentions\.\d+\.)(query|key|value|proj_attn)(\.\w+)")
ATTENTION_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# What a damaged or hostile file makes of the reader, on its way through a small stack machine.
UNREADABLE = (
    *(UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, LookupError, MemoryError),
    *(AttributeError, ArithmeticError, AssertionError, OSError, struct.error),
)
WANTED_CODE = re.compile(r"GLOBAL (\S+)")  # in torch's refusal
POINTER = b"version https://git-lfs"


def weights_file(folder: Path) -> Path:
    """The safetensors file where there is one, or none at all; else the pickled one.

    Raises CheckpointError where the weights lie in several files, or are a variant's alone.
    """
    whole = (folder / SAFETENSORS, folder / PICKLED)
    for path in whole:
        if path.exists():
            return path
    for path in sorted(folder.glob("diffusion_pytorch_model[-.]*")):
        if path not in whole:
            raise CheckpointError(
                f"{path}: weights in several files, or of a variant, are not supported; save them "
                f"as {SAFETENSORS}"
            )
    return folder / SAFETENSORS


def parse_weights(raw: bytes, path: Path) -> dict[str, Tensor]:
    """A file's content -> float32 tensors under today's names. Raises CheckpointError."""
    if path.suffix != ".safetensors":
        return modern_names(tensors_of(unpickled(raw, path), path), path)
    try:
        content = load(raw)
    except (SafetensorError, LookupError) as error:  # the latter for a dtype that torch lacks
        reason = "a Git LFS pointer, not the file" if raw.startswith(POINTER) else error
        raise CheckpointError(f"{path}: not a whole safetensors file: {reason}") from error
    return modern_names(tensors_of(content, path), path)


def unpickled(raw: bytes, path: Path) -> Any:
    """Tensors, numbers and containers of them; code is refused. Raises CheckpointError."""
    try:
        return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: {_why_unreadable(raw, error)}") from error


def _why_unreadable(raw: bytes, error: BaseException) -> str:
    """In our words: torch's advise to read the file without its guard."""
    if raw.startswith(POINTER):
        return "a Git LFS pointer, not the file"
    if wanted := WANTED_CODE.search(str(error)):
        return f"not only tensors: it wants {wanted[1][:100]} to run, and nothing in it ever is"
    return "damaged, or no file of tensors"


def tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """By name, float32 and contiguous. Raises CheckpointError for anything but names and finite
    real numbers, as many as the file itself holds.
    """
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected tensors by name, found {type(content).__name__}")
    for name, tensor in content.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: {name!r}: expected a tensor's name")
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CheckpointError(f"{path}: {name!r}: expected a tensor, found {kind}")
    return {name: _numbers(name, tensor, path) for name, tensor in content.items()}


def _numbers(name: str, tensor: Tensor, path: Path) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_floating_point():
        kind = f"{tensor.dtype}, {tensor.layout}".replace("torch.", "")
        raise CheckpointError(f"{path}: {name!r}: not plain real numbers but {kind}")
    if tensor.nbytes > tensor.untyped_storage().nbytes():  # a row that stands for a thousand
        raise CheckpointError(f"{path}: {name!r}: larger than what the file holds of it")
    numbers = tensor.detach().float()
    if not torch.isfinite(numbers).all():
        raise CheckpointError(f"{path}: {name!r}: not all of its numbers are finite")
    # Memory of its own: of safetensors it would be the file's bytes, wherever they lie.
    return numbers.clone(memory_format=torch.contiguous_format)


def modern_names(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """diffusers' attention before 0.13 was query, key, value, proj_attn; before that, 1x1
    convolutions. Both mean the linear layers of today. Raises CheckpointError for one named twice.
    """
    renamed = dict[str, Tensor]()
    for name, tensor in weights.items():
        modern = _modern_name(name)
        if modern in renamed:
            raise CheckpointError(f"{path}: {modern}: there under its old and its new name")
        renamed[modern] = _linear(tensor) if ".attentions." in modern else tensor
    return renamed


def _modern_name(name: str) -> str:
    legacy = LEGACY_ATTENTION.fullmatch(name)
    if not legacy:
        return name
    prefix, part, suffix = legacy.groups()
    return prefix + ATTENTION_NAMES[part] + suffix


def _linear(weight: Tensor) -> Tensor:
    """(C, C, 1, 1), (C, C, 1) -> (C, C); anything else as it is."""
    return weight.flatten(1) if weight.ndim > 2 and weight.shape[2:].numel() == 1 else weight
