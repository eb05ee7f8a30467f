"""Checkpoints on disk: diffusers' folder layout is the native format.

model_index.json
unet/config.json                            or the same files at the root (google/ddpm-*)
unet/diffusion_pytorch_model.safetensors    or .bin: read, never written
scheduler/scheduler_config.json
model_card.json                             ours: what it is, data, licence, training, sha256
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from models.diffusers_config import (
    CheckpointError,
    expect_outputs,
    parse_unet_config,
    unet_config_json,
)
from models.diffusers_scheduler import (
    MODEL_INDEX,
    SamplingDefaults,
    expect_parts,
    parse_scheduler_config,
    scheduler_config_json,
)
from models.plan import Prediction
from models.schedule import NoiseSchedule
from models.unet import UNet, UNetConfig
from models.weights import SAFETENSORS, parse_weights, weights_file

log = logging.getLogger(__name__)
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained DDPM, its weights on the CPU in float32."""

    net: UNet
    schedule: NoiseSchedule
    defaults: SamplingDefaults
    sha256: str  # of the weights file
    card: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Of all that decides a pixel: weights, network, schedule, defaults. 64 hex digits."""
        network = asdict(self.net.config)
        del network["none_class"]  # decides what can be asked for, not what comes of it
        told = [self.sha256, network, asdict(self.defaults)]
        decides = json.dumps(told, sort_keys=True).encode() + self.schedule.beta.tobytes()
        return hashlib.sha256(decides).hexdigest()


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder in either layout. Raises CheckpointError; nothing is executed."""
    unet_dir, scheduler_dir = _part(folder, "unet"), _part(folder, "scheduler")
    _tell_of_average(folder)
    if (index := folder / "model_index.json").exists():
        _parse(index, expect_parts)
    config_path, card_path = unet_dir / "config.json", folder / "model_card.json"
    config = _parse(config_path, parse_unet_config)
    schedule, defaults = _parse(scheduler_dir / "scheduler_config.json", parse_scheduler_config)
    _expect_outputs(config_path, config, defaults)
    card = _parse(card_path, _card) if card_path.exists() else None
    config = _as_the_card_tells(config, card or {}, card_path)
    net, sha256 = _load_network(config, weights_file(unet_dir))
    if card is not None:
        card["sha256"] = sha256  # of these weights, whatever others it was written for
    return Checkpoint(net, schedule, defaults, sha256, card or {})


def network_of(config: UNetConfig, weights: dict[str, Tensor]) -> UNet:
    """For evaluation, of these very tensors: no copy, which may be half a gigabyte.

    And no memory before they are known to be its own: what a config.json claims may be anything.
    Raises RuntimeError where a key or a shape is another.
    """
    with torch.device("meta"):
        net = UNet(config)
    net.load_state_dict(weights, strict=True, assign=True)
    return net.eval()


def save_checkpoint(
    folder: Path,
    config: UNetConfig,
    weights: dict[str, Tensor],
    schedule: NoiseSchedule,
    *,
    variance: str = "fixed_small",
    prediction: Prediction = "epsilon",
    card: dict[str, Any] | None = None,
) -> None:
    """Write the folder; each file appears whole or not at all."""
    for name in ("unet", "scheduler"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().float().contiguous() for k, v in weights.items()}
    staged = folder / "unet" / f".{SAFETENSORS}.part"
    raw = save(tensors, metadata={"format": "pt"})
    sha256 = hashlib.sha256(raw).hexdigest()
    staged.write_bytes(raw)  # save_file would make it for the owner alone
    staged.replace(folder / "unet" / SAFETENSORS)
    _write_json(folder / "unet" / "config.json", unet_config_json(config))
    _write_json(
        folder / "scheduler" / "scheduler_config.json",
        scheduler_config_json(schedule, variance, prediction),
    )
    _write_json(folder / "model_index.json", MODEL_INDEX)
    if card is not None:
        _write_json(folder / "model_card.json", card | {"sha256": sha256})


def _part(folder: Path, name: str) -> Path:
    """Where its files lie: in a folder of its own, or at the root."""
    try:
        return folder / name if (folder / name).is_dir() else folder
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read: {error.strerror}") from error


def _tell_of_average(folder: Path) -> None:
    """diffusers' training leaves both in its own checkpoints; which is wanted, nobody has said."""
    average = folder / "unet_ema"
    if average.is_dir():
        log.warning(
            "%s: takes unet; averaged weights, which usually draw better, lie beside it: "
            "copy scheduler_config.json into %s and name that folder",
            folder,
            average,
        )


def _load_network(config: UNetConfig, path: Path) -> tuple[UNet, str]:
    """With the file's sha256."""
    raw = _read(path)
    weights = parse_weights(raw, path)
    try:
        net = network_of(config, weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: does not fit its config.json: {reason}") from error
    return net, hashlib.sha256(raw).hexdigest()


def _expect_outputs(path: Path, config: UNetConfig, defaults: SamplingDefaults) -> None:
    try:
        expect_outputs(config, defaults.variance)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _as_the_card_tells(config: UNetConfig, card: dict[str, Any], path: Path) -> UNetConfig:
    """Whether the last class embedding is for "none", as ours have it, or for one more class."""
    embeddings, labels = config.num_class_embeds, len(card.get("labels", []))
    if embeddings is None or labels == embeddings - 1:
        return config
    if labels == embeddings:
        return replace(config, none_class=False)
    log.warning(
        '%s: the last of %d class embeddings is taken for "none"; '
        "if it is a class like the others, name all %d as its labels",
        path,
        embeddings,
        embeddings,
    )
    return config


def _card(raw: dict[str, Any]) -> dict[str, Any]:
    labels = raw.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckpointError("labels: must be a list of names")
    return raw


def _parse(path: Path, parse: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    raw = _read_json(path)
    try:
        return parse(raw)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    content = _read(path)
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return raw


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    staged = path.with_name(f".{path.name}.part")
    staged.write_text(json.dumps(content, indent=2) + "\n")
    staged.replace(path)
