"""Jobs and their images."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.resources.times import Time
from protocol.messages import ImageManifest, JobRequest, Task
from protocol.states import JobState


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
