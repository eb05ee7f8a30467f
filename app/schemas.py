"""What clients send. Strict: no unknown fields, no bool for an int, no string for a number."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from protocol.messages import (
    MAX_IMAGES,
    MAX_INDEX,
    MAX_SEED,
    Priority,
    SamplerName,
    Spacing,
    Variance,
)

MAX_METADATA_BYTES = 1024
DAY_S = 86_400


class Submitted(BaseModel):
    """The base of what comes in."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SamplerChoice(Submitted):
    """How the reverse chain is walked. Null, or left out: the sampler's or the model's own."""

    name: SamplerName
    steps: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="At most the model's T. Default: T for ddpm, 50 for ddim, 20 for dpmpp-2m.",
    )
    eta: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        None, description="ddim only: 0 is deterministic, 1 as noisy as ddpm. Default: 0."
    )
    spacing: Spacing | None = Field(
        None,
        description="Which timesteps a shortened chain keeps. Default: leading; "
        "linspace for dpmpp-2m.",
    )
    variance: Variance | None = Field(
        None, description="ddpm only; `fixed_large` needs the full chain. Default: the model's."
    )
    clip: Annotated[float, Field(gt=0.0)] | None = Field(
        None,
        description="Clamp the predicted x0 to ±clip at every step. Default: the model's; "
        "dpmpp-2m does not clip.",
    )


class OutputChoice(Submitted):
    """How the images are written."""

    format: Literal["png"] = "png"
    scale: Annotated[int, Field(ge=1, le=16)] = Field(
        1, description="Each pixel becomes scale x scale pixels."
    )


def _spelled_out(sampler: object) -> object:
    """A bare name stands for the sampler with all its defaults."""
    return {"name": sampler} if isinstance(sampler, str) else sampler


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is too large, or what JSON or UTF-8 cannot say: it is echoed as it came."""
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size_bytes = len(text.encode())
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError("metadata", "This must be JSON, in valid Unicode") from error
    if size_bytes > MAX_METADATA_BYTES:
        raise PydanticCustomError(
            "metadata",
            "This may have {limit} bytes as JSON; it has {size}",
            {"limit": MAX_METADATA_BYTES, "size": size_bytes},
        )
    return metadata


Sampler = Annotated[
    SamplerChoice,
    BeforeValidator(_spelled_out, json_schema_input_type=SamplerName | SamplerChoice),
]


class JobSubmission(Submitted):
    """A job, as asked for. `{}` is one where one model is served; the answer tells what it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "fashion-mnist", "n": 16, "seed": 42, "sampler": "ddim"}]
        }
    )

    task: Literal["sample"] = "sample"
    model: str | None = Field(None, description="May be left out where there is only one.")
    n: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = Field(1, description="How many images.")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="Same seed, same pixels. Drawn, and told, if left out."
    )
    first_index: Annotated[int, Field(ge=0, le=MAX_INDEX)] = Field(
        0, description="Images first_index ... first_index + n - 1 of the seed: extends a set."
    )
    sampler: Sampler | None = Field(
        None, description="A name or an object. Default: the first the model offers."
    )
    output: OutputChoice = OutputChoice()
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    timeout_s: Annotated[int, Field(ge=1, le=7 * DAY_S)] | None = Field(
        None, description="A job that runs longer fails."
    )
    ttl_s: Annotated[int, Field(ge=60, le=30 * DAY_S)] = Field(
        DAY_S, description="How long the images are kept after the end."
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] = Field(
        {}, description="Yours: echoed, never read. At most 1 KiB as JSON."
    )
