"""What clients get back: jobs and models, as JSON."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

from protocol.messages import (
    ImageManifest,
    JobRequest,
    Priority,
    SamplerInfo,
    Task,
    WorkerLoad,
)
from protocol.states import JobState
from protocol.webhook_store import DeliveryState


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class ModelRef(BaseModel):
    """Which weights: a name may come to mean others, a hash does not."""

    name: str
    sha256: str


class Progress(BaseModel):
    """How far a job is, in steps: an image counts one for each of its denoising steps."""

    fraction: float = Field(description="steps_done / steps_total.")
    steps_done: int
    steps_total: int
    images_done: int
    images_total: int
    eta_s: float | None = Field(description="While running, at the pace so far.")
    queue_position: int | None = Field(description="While queued: how many begin before it.")


class Image(ImageManifest):
    """A finished image, and where it is."""

    url: str


class Preview(BaseModel):
    """What the first unfinished images look like by now, 16 at most, on one sheet."""

    png: str = Field(description="The file, in base64.")
    url: str = Field(description="Where the latest one is.")


class JobProblem(BaseModel):
    """Why a job failed while it ran; the request itself was fine."""

    type: str
    title: str
    detail: str
    code: str


class Verification(BaseModel):
    """What became of sampling an image again."""

    result: Literal["match", "differs", "not_comparable"] | None = Field(
        description="`not_comparable`: sampled by another engine or other weights. Null until the "
        "job has succeeded."
    )
    reason: str | None = Field(description="Of any result but `match`.")
    largest_difference: int | None = Field(
        description="Of any value of any pixel, in levels, 0 ... 255."
    )
    pixels_sha256: str = Field(description="Of the image that was sent.")
    engine: str = Field(description="Which made it, as its file says.")
    model_sha256: str


class JobUrls(BaseModel):
    """Follow these rather than build your own."""

    self: str
    cancel: str
    events: str
    images: str
    archive: str
    grid: str
    preview: str


class JobItem(BaseModel):
    """A job as a list tells of it: all but its images."""

    id: str
    object: Literal["job"] = "job"
    status: JobState
    done: bool = Field(description="Nothing more will happen; no need to know the words.")
    task: Task | Literal["verify"]
    model: ModelRef
    engine: str | None = Field(description="The fingerprint within which pixels are equal.")
    request: JobRequest = Field(description="As resolved: sending it again gives the same pixels.")
    progress: Progress
    error: JobProblem | None
    attempts: int = Field(description="How often its most often run part was begun.")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Time | None
    urls: JobUrls
    metadata: dict[str, Any]


class Cost(BaseModel):
    """What a job would take."""

    images: int
    steps: int = Field(description="Denoising steps of all images; `progress.steps_total`.")
    forward_evaluations: int = Field(
        description="Images that the network is asked for: one a step, two with guidance other "
        "than 1."
    )
    bytes: int = Field(description="Of the images' storage, estimated from above.")


class DryRun(BaseModel):
    """A job as it would be queued; nothing was."""

    object: Literal["dry_run"] = "dry_run"
    model: ModelRef
    request: JobRequest = Field(description="As resolved, with the seed that was drawn for it.")
    cost: Cost


class Job(JobItem):
    """A job as it stands."""

    images: list[Image] = Field(description="Finished ones, by index; 1,000 at most.")
    images_truncated: bool = Field(description="Whether more are finished than are listed.")
    verification: Verification | None = Field(description="Of a job made by `POST /v1/verify`.")


class JobPage(BaseModel):
    """Jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobItem]
    next_page_token: str | None = Field(description="Null on the last page.")


class ImagePage(BaseModel):
    """Finished images, by index."""

    object: Literal["list"] = "list"
    data: list[Image]
    next_page_token: str | None = Field(description="Null on the last page.")


class DeliveryAttempt(BaseModel):
    """One POST to an endpoint."""

    at: Time
    status: int | None = Field(description="What it answered; null: it did not.")
    error: str | None = Field(description="Why there was no answer.")


class DeliveryUrls(BaseModel):
    """Follow these rather than build your own."""

    self: str
    replay: str
    job: str | None


class Delivery(BaseModel):
    """An event on its way to its endpoint, or there."""

    id: str = Field(description="The `webhook-id` header, the same for every attempt.")
    object: Literal["webhook_delivery"] = "webhook_delivery"
    type: str = Field(examples=["job.succeeded"])
    url: str
    state: DeliveryState = Field(
        description="`failed`: tried as often as is tried. `disabled`: the endpoint said 410."
    )
    created_at: Time
    next_attempt_at: Time | None = Field(description="While pending.")
    attempts: list[DeliveryAttempt] = Field(description="The last 20, oldest first.")
    urls: DeliveryUrls


class DeliveryList(BaseModel):
    """Some of them, newest first."""

    object: Literal["list"] = "list"
    data: list[Delivery]
    next_page_token: str | None = Field(description="Null: there are no more.")


class ModelWorker(BaseModel):
    """A live worker of a model."""

    name: str
    device: str
    precision: str
    mode: str
    engine: str = Field(description="Same fingerprint, same pixels.")


class Model(BaseModel):
    """A model workers have published, and who serves it now."""

    name: str
    object: Literal["model"] = "model"
    sha256: str
    image_size_px: int
    channels: int
    T: int = Field(description="Steps of the full chain.")
    samplers: list[SamplerInfo]
    labels: list[str] = Field(description="What images can be asked for by; none: unconditional.")
    card: dict[str, Any] = Field(description="What it is: data, licence, training, metrics.")
    workers: list[ModelWorker] = Field(description="Those alive; none: jobs wait.")


class ModelList(BaseModel):
    """All of them, by name."""

    object: Literal["list"] = "list"
    data: list[Model]


class QueueStats(BaseModel):
    """One model's queue of one priority."""

    model: str
    priority: Priority
    shards: int = Field(description="In the queue; a job has 4 at most there at a time.")
    images: int = Field(description="Of all its jobs, accepted and not yet made.")


class TenantStats(BaseModel):
    """The owner of a key, while anything of theirs is queued."""

    name: str
    images_queued: int


class WorkerStats(BaseModel):
    """A live worker, by its last heartbeat."""

    name: str
    model: str
    load: WorkerLoad


class Stats(BaseModel):
    """How much there is to do, and how it is going."""

    object: Literal["stats"] = "stats"
    jobs_waiting: int = Field(description="Not begun.")
    images_queued: int = Field(description="Accepted and not yet made.")
    bytes_reserved: int = Field(description="What those may take in Redis at most, about.")
    rows_running: int = Field(description="Images under way.")
    images_per_s: float = Field(description="Over the workers' last seconds.")
    occupancy: float = Field(description="Rows of a step by its width, of busy workers: 0 ... 1.")
    queues: list[QueueStats]
    tenants: list[TenantStats]
    workers: list[WorkerStats]


class Health(BaseModel):
    """A word for probes."""

    status: Literal["alive", "ready"]
