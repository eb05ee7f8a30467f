"""What a run goes on from: a state that can be read, of a run with the same configuration.

A state keeps the configuration it was made with. A run goes on from it where it could have been
configured so from the start, and have come to this state all the same.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from models.faults import one_line
from models.train_config import Optimiser, TrainConfig
from models.weights import UNREADABLE

log = logging.getLogger(__name__)
FREE = ("data", "optimiser.accumulate")  # where data lie, not what; memory and rounding
NO_STATE = "not a run's state; remove it, or choose another --out"


def as_json(config: TrainConfig) -> str:
    """A configuration as a state keeps it."""
    return json.dumps(asdict(config))


def read_state(path: Path) -> dict[str, Any]:
    """What was saved, on the CPU. Raises ValueError in one line where it cannot be read."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UNREADABLE as error:
        raise ValueError(f"{path}: truncated, or {NO_STATE}") from error
    if not isinstance(saved, dict):
        raise ValueError(f"{path}: {NO_STATE}")
    return saved


def expect_same_run(path: Path, saved: dict[str, Any], config: TrainConfig) -> None:
    """Raises ValueError naming what is configured otherwise than when the state was saved.

    States of old say nothing of it: those are taken as they are, with a warning.
    """
    if "config" not in saved:
        log.warning("%s: keeps no configuration; taken to be of this one", path)
        return
    try:
        before = TypeAdapter(TrainConfig).validate_json(saved["config"])
    except ValidationError as error:
        raise ValueError(f"{path}: configured as none can be here: {one_line(error)}") from error
    changed = _changed(before, config, images_seen=saved["images_seen"])
    if changed:
        raise ValueError(f"{path}: of another configuration: {changed}; choose another --out")


def expect_same_data(path: Path, saved: dict[str, Any], data_sha256: str | None) -> None:
    """Raises ValueError where the state learned from other images or labels; old ones say nothing.

    Batches follow from (seed, images seen, how many there are): of others, none would be the same.
    """
    if None not in (before := saved.get("data_sha256"), data_sha256) and before != data_sha256:
        raise ValueError(f"{path}: trained on other images or labels; choose another --out")


def flat(config: TrainConfig) -> dict[str, Any]:
    """Every value by its dotted key, as `optimiser.batch`."""
    found: dict[str, Any] = {}
    for key, value in asdict(config).items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            found[key] = value
    return found


def _changed(before: TrainConfig, config: TrainConfig, *, images_seen: int) -> str:
    """`key: this in the state, that now; ...`; the card may say what it likes."""
    then, now = flat(before), flat(config)
    keys = [key for key in now if not key.startswith("card.") and key not in FREE]
    if not _past_the_plateau(images_seen, before.optimiser, config.optimiser):
        keys.remove("optimiser.images")
    return "; ".join(
        f"{key}: {then[key]} in the state, {now[key]} now" for key in keys if then[key] != now[key]
    )


def _past_the_plateau(images_seen: int, *runs: Optimiser) -> bool:
    """Whether a run of any of these lengths would have lowered its rate by now, or ended."""
    return any(images_seen > run.decay_from * run.images for run in runs)
