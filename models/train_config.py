"""What a training run is: read from a TOML file, lengths counted in images."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from models.unet import UNetConfig

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Optimiser:
    """Adam, its learning rate over time, and the average that is sampled from."""

    batch: int
    images: int  # length of the run
    learning_rate: float
    warmup_images: int = 0
    decay_from: float = 1.0  # share of the run after which the rate falls linearly to 0
    ema_decay: float = 0.9999
    grad_clip: float = 1.0
    autocast: Literal["float32", "bfloat16"] = "float32"
    flip: bool = False
    seed: int = 0

    def rate_at(self, images: int) -> float:
        """The learning rate once `images` have been seen."""
        warm = min(1.0, (images + self.batch) / max(self.warmup_images, 1))
        decay_images = max(1.0, self.images * (1.0 - self.decay_from))
        left = min(1.0, max(0.0, (self.images - images) / decay_images))
        return self.learning_rate * warm * left


@dataclass(frozen=True)
class TrainConfig:
    """One run: network, optimiser, data, schedule length, and what its card says of it."""

    network: UNetConfig
    optimiser: Optimiser
    data: str
    T: int = 1000
    variance: str = "fixed_small"
    card: dict[str, Any] = field(default_factory=dict)  # what to say of it in model_card.json


def read_config(name_or_path: str) -> TrainConfig:
    """A configuration that ships, by name, or a path. Raises ValueError naming file and key."""
    path = CONFIGS / f"{name_or_path}.toml"
    if not path.exists():
        path = Path(name_or_path)
    try:
        raw = tomllib.loads(path.read_text())
        network = dict(raw["network"])
        for key in ("block_out_channels", "attention"):
            network[key] = tuple(network[key])
        rest = {k: v for k, v in raw.items() if k not in ("network", "optimiser")}
        _refuse_unknown(rest, TrainConfig)
        return TrainConfig(UNetConfig(**network), Optimiser(**raw["optimiser"]), **rest)
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise ValueError(f"{name_or_path}: no such file, nor one of: {known}") from error
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]} is missing") from error
    except TypeError as error:  # an unknown or missing key of a section
        raise ValueError(f"{path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error


def _refuse_unknown(raw: dict[str, Any], kind: type) -> None:
    unknown = set(raw) - {f.name for f in fields(kind)}
    if unknown:
        raise TypeError(f"unknown key {sorted(unknown)[0]!r}")
