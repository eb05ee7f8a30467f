"""Checkpoints by their id on the Hugging Face Hub: downloaded once, then found in the cache.

`google/ddpm-cifar10-32` is an id where no folder of that name exists; `...@REVISION` pins a branch,
tag or commit. HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they always do; without a network the
cache answers alone, whoever filled it.
"""

import os
import re
from functools import partial
from pathlib import Path

import httpx2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

from models.diffusers_config import CheckpointError
from models.weights import PICKLED, SAFETENSORS

HUB_ID = re.compile(  # a revision may be refs/pr/1, but never leads out of a folder
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>\w[\w.-]*(/\w[\w.-]*)*))?"
)
DESCRIPTION = (
    *("config.json", "scheduler_config.json", "model_card.json", "model_index.json"),
    *("unet/config.json", "scheduler/scheduler_config.json"),
)


def parse_hub_id(model: Path) -> re.Match[str] | None:
    """Its `repository` and `revision`; None where it is a folder, or can only be one."""
    there = os.path.exists(model)  # no error where the name is too long for any folder
    return None if there else HUB_ID.fullmatch(model.as_posix())


def local_folder(model: Path) -> Path:
    """The folder itself, or where its files lie once they are here. Raises CheckpointError."""
    hub_id = parse_hub_id(model)
    if hub_id is None:
        return model
    for weights in (SAFETENSORS, PICKLED):  # the second only where there is nothing safer
        folder = _snapshot(hub_id, weights)
        if any((folder / place / weights).exists() for place in ("", "unet")):
            return folder
    raise CheckpointError(
        f"{model}: has no {SAFETENSORS} or .bin on the Hub, "
        "or in the cache where the Hub cannot be reached"
    )


def _snapshot(hub_id: re.Match[str], weights: str) -> Path:
    ask = partial(
        snapshot_download,
        hub_id["repository"],
        revision=hub_id["revision"],
        allow_patterns=[*DESCRIPTION, weights, f"unet/{weights}"],
    )
    try:
        return Path(ask())
    except LocalEntryNotFoundError as error:
        cached = _cached(ask)
        if cached is None:
            raise _refusal(hub_id, error) from error
        return cached
    except (OSError, ValueError, httpx2.HTTPError) as error:  # its own errors are among these
        raise _refusal(hub_id, error) from error


def _cached(ask: "partial[str]") -> Path | None:
    """What other tools, too, left of it; None: nothing.

    Files that the repository lists may be missing, such as a card: which are needed, the reader
    knows. For a pinned commit only this question tells "incomplete" from "nothing".
    """
    try:
        return Path(ask(local_files_only=True))
    except IncompleteSnapshotError as error:
        return Path(error.snapshot_path)
    except LocalEntryNotFoundError:
        return None


def _refusal(hub_id: re.Match[str], error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:200]
    return CheckpointError(
        f"{hub_id[0]}: no such folder here, and not to be had from the Hub: {reason}"
    )
