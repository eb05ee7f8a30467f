"""A checkpoint's files, and how a test spoils them."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.checkpoint import load_checkpoint
from models.diffusers_config import CheckpointError

CONFIG = Path("unet/config.json")
SCHEDULER = Path("scheduler/scheduler_config.json")
WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")
CARD = Path("model_card.json")


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; `...` removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def at_the_root(folder: Path) -> Path:
    """The same checkpoint in the layout of google/ddpm-*."""
    for path in (CONFIG, WEIGHTS, SCHEDULER):
        (folder / path).rename(folder / path.name)
    (folder / "unet").rmdir()
    (folder / "scheduler").rmdir()
    return folder


def refusal(folder: Path) -> str:
    """The one line that `load_checkpoint` says when it must refuse."""
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)
