"""Checkpoints by their id on the Hugging Face Hub: downloaded once, then found in the cache.

`google/ddpm-cifar10-32` is an id where no folder of that name exists; `...@REVISION` pins a branch,
tag or commit. HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they always do; without a network the
cache answers alone.
"""

import re
from pathlib import Path

import httpx2
from huggingface_hub import snapshot_download

from models.diffusers_config import CheckpointError
from models.weights import PICKLED, SAFETENSORS

HUB_ID = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w.-]+))?"
)
DESCRIPTION = (
    *("config.json", "scheduler_config.json", "model_card.json"),
    *("unet/config.json", "scheduler/scheduler_config.json"),
)


def local_folder(model: Path) -> Path:
    """The folder itself, or where its files lie once they are here. Raises CheckpointError."""
    hub_id = HUB_ID.fullmatch(model.as_posix())
    if model.exists() or hub_id is None:
        return model
    folder = _snapshot(hub_id, SAFETENSORS)
    if any((folder / place / SAFETENSORS).exists() for place in ("", "unet")):
        return folder
    return _snapshot(hub_id, PICKLED)  # only where there is nothing safer


def _snapshot(hub_id: re.Match[str], weights: str) -> Path:
    repository, revision = hub_id["repository"], hub_id["revision"]
    wanted = [*DESCRIPTION, weights, f"unet/{weights}"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError, httpx2.HTTPError) as error:  # its own errors are among these
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{hub_id[0]}: no such folder here, and not to be had from the Hub: {reason}"
        ) from error
