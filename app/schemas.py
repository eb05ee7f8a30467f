"""What clients send. Strict: no unknown fields, no bool for an int, no string for a number."""

import json
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from protocol.messages import (
    JOB_ID_PATTERN,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_INDEX,
    MAX_LABELS,
    MAX_LAMBDAS,
    MAX_SEED,
    SHA256_PATTERN,
    Priority,
    SamplerName,
    Spacing,
    Task,
    Variance,
    WebhookEvent,
)
from protocol.webhook_policy import MAX_URL_CHARACTERS

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


def _is_label(label: object) -> object:
    """A name or a number; said once, where a union would say it for each of its members."""
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise PydanticCustomError("label", "This must be a label's name or number")
    return label


Label = Annotated[str | int, BeforeValidator(_is_label)]


class ImageChoice(Submitted):
    """An image of the model's size and channels: a PNG in base64, or a finished one of a job."""

    png: str | None = Field(None, description="The file, in base64.")
    job: Annotated[str, Field(pattern=JOB_ID_PATTERN)] | None = None
    index: Annotated[int, Field(ge=0, le=MAX_INDEX)] | None = None
    pixels_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)] | None = Field(
        None, description="If given, the pixels must be these."
    )

    @model_validator(mode="after")
    def _is_one_image(self) -> Self:
        named = self.job is not None and self.index is not None
        in_part = (self.job is None) != (self.index is None)
        if in_part or named == (self.png is not None):
            raise PydanticCustomError(
                "image", "Send a PNG in base64, or name a `job` and the `index` of its image"
            )
        return self


class ImageToVerify(Submitted):
    """An image as it was downloaded here, with its text chunks."""

    image: str = Field(description="The PNG file, in base64.")


def _as_png(image: object) -> object:
    """A bare text is the file."""
    return {"png": image} if isinstance(image, str) else image


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


ImageToStartFrom = Annotated[
    ImageChoice, BeforeValidator(_as_png, json_schema_input_type=str | ImageChoice)
]


EndpointUrl = Annotated[
    str, Field(max_length=MAX_URL_CHARACTERS, json_schema_extra={"format": "uri"})
]


class WebhookChoice(Submitted):
    """Who is told of the job's end, by a signed POST (Standard Webhooks)."""

    url: EndpointUrl = Field(
        description="https, without user and password; addresses that are not public are refused.",
        examples=["https://example.org/hooks/denoised"],
    )
    events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=10)] = Field(
        list(get_args(WebhookEvent)), description="Which ends are told. Default: all."
    )


class WebhookTest(Submitted):
    """An endpoint to try."""

    url: EndpointUrl = Field(examples=["https://example.org/hooks/denoised"])


class JobSubmission(Submitted):
    """A job, as asked for. `{}` is one where one model is served; the answer tells what it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "fashion-mnist", "n": 16, "seed": 42, "sampler": "ddim"}]
        }
    )

    task: Task = Field(
        "sample",
        description="`variations` of an image share its x_t (figure 7 of the paper); `interpolate` "
        "goes from one image to another through x_t (figure 8).",
    )
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
    t: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="variations, interpolate: how far images are noised, 1 ... T, before they are "
        "denoised again. The chain has at most t steps.",
    )
    image: ImageToStartFrom | None = Field(None, description="variations: of this one.")
    image_a: ImageToStartFrom | None = Field(None, description="interpolate: from this one.")
    image_b: ImageToStartFrom | None = Field(None, description="interpolate: to this one.")
    lambdas: (
        Annotated[
            list[Annotated[float, Field(ge=0.0, le=1.0)]],
            Field(min_length=1, max_length=MAX_LAMBDAS),
        ]
        | None
    ) = Field(
        None,
        description="interpolate: 0 is image_a, 1 image_b. Default: n of them, evenly from 0 to 1.",
    )
    labels: Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS)] | None = Field(
        None,
        description="Class-conditional models: one for all images, or one for each; names, or "
        "numbers from 0. Default: of no class.",
    )
    guidance: Annotated[float, Field(ge=0.0, le=MAX_GUIDANCE)] | None = Field(
        None,
        description="With labels: how strongly towards the class. 1, the default, is the class "
        "alone; other weights ask the network twice a step.",
    )
    output: OutputChoice = OutputChoice()
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    timeout_s: Annotated[int, Field(ge=1, le=7 * DAY_S)] | None = Field(
        None, description="A job that runs longer fails."
    )
    ttl_s: Annotated[int, Field(ge=60, le=30 * DAY_S)] = Field(
        DAY_S, description="How long the images are kept after the end."
    )
    webhook: WebhookChoice | None = Field(None, description="Who is told of the end.")
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] = Field(
        {}, description="Yours: echoed, never read. At most 1 KiB as JSON."
    )
