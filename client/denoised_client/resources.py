"""What the service answers. Frozen. Fields that a newer service adds do no harm, and are kept."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Resource(BaseModel):
    """The base."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class FieldError(Resource):
    """One thing wrong with a request."""

    pointer: str = ""
    detail: str = ""


class JobProblem(Resource):
    """What went wrong while a job ran."""

    code: str
    detail: str = ""
    title: str = ""
    type: str = "about:blank"


class ModelRef(Resource):
    """Which weights."""

    name: str
    sha256: str | None = None


class Progress(Resource):
    """How far a job is: an image counts one for each of its denoising steps."""

    fraction: float
    steps_done: int
    steps_total: int
    images_done: int
    images_total: int
    eta_s: float | None = None
    queue_position: int | None = None


class ImageEntry(Resource):
    """A finished image: where it is, and the sha256 of its pixels before any scaling."""

    index: int
    url: str
    pixels_sha256: str
    bytes: int
    width: int
    height: int
    label: str | None = None


class JobUrls(Resource):
    """Where a job's parts are; None where the service does not have them."""

    self: str
    cancel: str
    grid: str | None = None
    preview: str | None = None
    events: str | None = None
    images: str | None = None
    archive: str | None = None


class Verification(Resource):
    """What sampling an image again has shown: match, differs or not_comparable (which `reason`
    explains)."""

    result: str | None = None
    reason: str | None = None
    largest_difference: int | None = None
    pixels_sha256: str | None = None
    engine: str | None = None
    model_sha256: str | None = None


class JobSnapshot(Resource):
    """A job as it stood when the service told of it.

    `status` is queued, running, canceling, succeeded, failed, canceled or expired, and a text, so
    that a status of tomorrow does no harm: `done` says what matters.
    """

    id: str
    status: str
    done: bool
    task: str
    model: ModelRef
    engine: str | None = None
    request: dict[str, Any]
    progress: Progress
    images: tuple[ImageEntry, ...] = ()
    images_truncated: bool = False
    error: JobProblem | None = None
    attempts: int = 0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    urls: JobUrls
    metadata: dict[str, Any] = {}
    verification: Verification | None = None

    @property
    def lists_its_images(self) -> bool:
        """Jobs out of a list do not."""
        return self.images_truncated or len(self.images) >= self.progress.images_done

    @property
    def scale(self) -> int:
        """How many pixels of a file each pixel became, on a side."""
        return int((self.request.get("output") or NOTHING).get("scale") or 1)


class ModelWorker(Resource):
    """A live worker of a model."""

    name: str
    device: str
    precision: str | None = None
    mode: str | None = None
    engine: str | None = None


class SamplerInfo(Resource):
    """A sampler that a model offers, with its defaults."""

    name: str
    steps: int


class Model(Resource):
    """A model that can be asked for, and who serves it now."""

    name: str
    sha256: str
    image_size_px: int
    channels: int
    T: int
    samplers: tuple[SamplerInfo, ...] = ()
    labels: tuple[str, ...] = ()
    labels_needed: bool = False
    card: dict[str, Any] = {}
    workers: tuple[ModelWorker, ...] = ()


class ModelList(Resource):
    """All models."""

    data: tuple[Model, ...]


class JobPage(Resource):
    """Some of the jobs, and what to ask for the next ones with."""

    data: tuple[JobSnapshot, ...]
    next_page_token: str | None = None


class ImagePage(Resource):
    """Some of a job's finished images."""

    data: tuple[ImageEntry, ...]
    next_page_token: str | None = None


class Stats(Resource):
    """What the service is doing now, as it tells it: fields differ from version to version."""


class Cost(Resource):
    """What a job would take; `bytes` of storage is an estimate from above."""

    images: int
    steps: int
    forward_evaluations: int
    bytes: int


class DryRun(Resource):
    """What a request would become, and what it would cost; nothing was queued."""

    model: ModelRef
    request: dict[str, Any] = Field(description="As resolved.")
    cost: Cost
