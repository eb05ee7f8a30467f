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
    *(UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, LookupError),
    *(AttributeError, ArithmeticError, AssertionError, OSError, struct.error),
)


def weights_file(folder: Path) -> Path:
    """The safetensors file where there is one, or none at all; else the pickled one."""
    pickled = folder / PICKLED
    safe = folder / SAFETENSORS
    return pickled if pickled.exists() and not safe.exists() else safe


def parse_weights(raw: bytes, path: Path) -> dict[str, Tensor]:
    """A file's content -> tensors under today's names. Raises CheckpointError naming `path`."""
    if path.suffix != ".safetensors":
        return modern_names(tensors_of(unpickled(raw, path), path), path)
    try:
        return modern_names(load(raw), path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def unpickled(raw: bytes, path: Path) -> Any:
    """Tensors, numbers and containers of them; code is refused. Raises CheckpointError."""
    try:
        return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: damaged, or not only tensors (code in it is never run): {reason}"
        ) from error


def tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Raises CheckpointError where it is anything but names and tensors."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected tensors by name, found {type(content).__name__}")
    for name, tensor in content.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path}: {name!r}: expected a tensor's name")
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CheckpointError(f"{path}: {name!r}: expected a tensor, found {kind}")
    return content


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
    return weight.flatten(1) if weight.ndim > 2 and weight[0, 0].numel() == 1 else weight
