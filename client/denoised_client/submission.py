"""What a job is asked for with, as keyword arguments, and the body they become. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from denoised_client.source_images import ImageInput, as_json

Task = Literal["sample", "variations", "interpolate"]
IMAGE_FIELDS = ("image", "image_a", "image_b")


class Sampler(TypedDict, total=False):
    """How the reverse chain is walked. What is left out is the sampler's or the model's own."""

    name: str
    steps: int
    eta: float
    spacing: str
    variance: str
    clip: float


class Output(TypedDict, total=False):
    """How images are written."""

    format: str
    scale: int


class Webhook(TypedDict, total=False):
    """Who is told of the end."""

    url: str
    events: Sequence[str]


class Options(TypedDict, total=False):
    """What every task can be asked for with: the fields of `POST /v1/jobs`, by the same names.

    `idempotency_key` names the job, so that asking twice makes one; a fresh one if left out.
    `strict` refuses (Unavailable, `no_worker`) rather than queues where no worker is alive.
    """

    model: str | None
    n: int
    seed: int | None
    first_index: int
    sampler: str | Sampler | None
    labels: Sequence[str | int] | None
    guidance: float | None
    output: Output
    priority: str
    timeout_s: int | None
    ttl_s: int
    webhook: Webhook | None
    metadata: Mapping[str, Any]
    idempotency_key: str
    strict: bool


class Variations(Options):
    """And: n images that share the x_t of `image`, noised to `t` of the model's T steps."""

    image: ImageInput
    t: int


class _Interpolation(Options):
    image_a: ImageInput
    image_b: ImageInput
    t: int


class Interpolation(_Interpolation, total=False):
    """And: n images evenly on the way from `image_a` to `image_b`, or one for each of `lambdas`."""

    lambdas: Sequence[float]


def body_of(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON to send. What is None is left out: the service's defaults are not repeated here.

    What a job tells in `request` can be given once more. Raises OSError for an image that names a
    file which cannot be read, Unsendable for one that is none.
    """
    asked = {name: value for name, value in options.items() if value is not None}
    for name in IMAGE_FIELDS:
        if name in asked:
            asked[name] = as_json(asked[name])
    for name in ("labels", "lambdas"):
        if name in asked:
            asked[name] = list(asked[name])
    return {**asked, "task": task}
