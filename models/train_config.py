"""What a training run is: read from a TOML file, lengths counted in images."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from models.diffusers_config import expect_outputs
from models.faults import one_line
from models.plan import Prediction, Variance
from models.schedule import ScheduleName
from models.unet import UNetConfig

CONFIGS = Path(__file__).parent / "configs"
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=STRICT)
class Optimiser:
    """Adam, its learning rate over time, and the average that is sampled from."""

    batch: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=1)]  # length of the run
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_images: Annotated[int, Field(ge=0)] = 0
    decay_from: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of the run; then linear to 0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    ema_warmup: bool = True  # a shorter average while the run is young; the paper has none
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
    accumulate: Annotated[int, Field(ge=1)] = 1  # parts a batch is computed in, to save memory
    autocast: Literal["float32", "bfloat16", "float16"] = "float32"
    flip: bool = False
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share trained as of no class
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    def rate_at(self, images: int) -> float:
        """The learning rate once `images` have been seen."""
        warm = min(1.0, (images + self.batch) / max(self.warmup_images, 1))
        decay_images = max(1.0, self.images * (1.0 - self.decay_from))
        left = min(1.0, max(0.0, (self.images - images) / decay_images))
        return self.learning_rate * warm * left


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """One run: network, optimiser, data, schedule length, and what its card says of it."""

    network: UNetConfig
    optimiser: Optimiser
    data: str
    T: Annotated[int, Field(ge=1)] = 1000
    schedule: ScheduleName = "linear"
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    variance: Variance = "fixed_small"
    prediction: Prediction = "epsilon"
    loss: Literal["simple", "bound", "vlb", "hybrid"] = "simple"  # see `models.objective`
    labels: tuple[str, ...] = ()  # the classes' names, in the data's order; none: unconditional
    start_from: str | None = None  # a checkpoint whose weights the run begins with
    card: dict[str, Any] = Field(default_factory=dict)  # what to say of it in model_card.json

    def __post_init__(self) -> None:
        self._expect_loss_to_fit()
        self._expect_classes_to_fit()
        expect_outputs(self.network, self.variance)

    def _expect_classes_to_fit(self) -> None:
        embedded = self.network.num_class_embeds
        if self.labels and embedded != len(self.labels) + 1:
            raise ValueError(
                f"num_class_embeds: {embedded}, but there are {len(self.labels)} labels, and none"
            )
        if embedded is not None and not self.labels:
            raise ValueError("labels: the network has classes; name them")
        if not self.network.none_class:
            raise ValueError('none_class: a run always has a class for "none"')

    def _expect_loss_to_fit(self) -> None:
        if self.loss != "simple" and self.T < 2:
            raise ValueError("loss: the bound is one of T > 1")
        if self.loss == "bound" and self.prediction != "epsilon":
            raise ValueError("loss: the bound's weights are those of epsilon")
        learned = self.variance == "learned_range"
        if learned and self.loss not in ("vlb", "hybrid"):
            raise ValueError(f"loss: {self.loss} teaches no variance; use hybrid, or vlb")
        if self.loss == "hybrid" and not learned:
            raise ValueError("loss: hybrid is for variance learned_range")


def read_config(name_or_path: str) -> TrainConfig:
    """A configuration that ships, by name, or a path. Raises ValueError naming file and key."""
    path = CONFIGS / f"{name_or_path}.toml"
    if not path.exists():
        path = Path(name_or_path)
    try:
        as_json = json.dumps(tomllib.loads(path.read_text()), default=str)
        return TypeAdapter(TrainConfig).validate_json(as_json)  # as JSON: lists pass for tuples
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise ValueError(f"{name_or_path}: no such file, nor one of: {known}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {one_line(error)}") from error
    except (OSError, ValueError) as error:  # unreadable, not text, not TOML
        raise ValueError(f"{path}: {error}") from error
