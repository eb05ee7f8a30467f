"""What travels: frozen, versioned, validated again wherever it arrives."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_IMAGES = 100_000
MAX_SEED = 2**53 - 1  # safe as a JavaScript number
MAX_INDEX = 2**32 - 1  # a counter word of the noise generator
JOB_ID_PATTERN = r"^job_[0-9a-f]{32}$"
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
DELIVERY_ID_PATTERN = r"^msg_[0-9a-f]{32}$"
ENGINE_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
MAX_LAMBDAS = 1000  # that are listed; evenly spaced ones need no list
MAX_LABELS = 1000  # that are listed; one can be for all
MAX_GUIDANCE = 100.0


def _open(schema: dict[str, Any]) -> None:
    """We are strict with ourselves; who reads an answer of ours should bear a field more."""
    schema.pop("additionalProperties", None)


class Message(BaseModel):
    """The base of all of them: nothing unknown is let through, nothing changes afterwards."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_open
    )


class Priority(StrEnum):
    """In the order in which queues are asked."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


Task = Literal["sample", "variations", "interpolate"]
SamplerName = Literal["ddpm", "ddim", "dpmpp-2m"]
Spacing = Literal["leading", "trailing", "linspace", "quadratic"]
Variance = Literal["fixed_small", "fixed_large"]


WebhookEvent = Literal["job.succeeded", "job.failed", "job.canceled"]


class SamplerSpec(Message):
    """A sampler with everything resolved: together with a model it determines a plan."""

    name: SamplerName
    steps: Annotated[int, Field(ge=1)]
    eta: Annotated[float, Field(ge=0.0, le=1.0)] | None = None  # DDIM only
    spacing: Spacing = "leading"
    variance: Variance | None = None  # DDPM only
    clip: Annotated[float, Field(gt=0.0)] | None = None  # None: x0_hat is not clipped


class Output(Message):
    """How an image is written. `scale` repeats each pixel scale x scale times."""

    format: Literal["png"] = "png"
    scale: Annotated[int, Field(ge=1, le=16)] = 1


class SourceImage(Message):
    """An image that chains start from. The pixels lie beside the job's record, not in it."""

    pixels_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]  # of uint8, H W C
    job: Annotated[str, Field(pattern=JOB_ID_PATTERN)] | None = None  # None: it was sent
    index: Annotated[int, Field(ge=0, le=MAX_INDEX)] | None = None


class WebhookSpec(Message):
    """Who is told of which ends of a job."""

    url: str
    events: tuple[WebhookEvent, ...]


class JobAbout(Message):
    """What a webhook tells of the request."""

    task: Task
    model: str
    metadata: dict[str, Any]


class JobRequest(Message):
    """A job as resolved: running it again gives the same pixels."""

    task: Task
    model: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
    n: Annotated[int, Field(ge=1, le=MAX_IMAGES)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    first_index: Annotated[int, Field(ge=0, le=MAX_INDEX)]
    sampler: SamplerSpec
    output: Output
    priority: Priority
    timeout_s: Annotated[int, Field(ge=1)] | None
    ttl_s: Annotated[int, Field(ge=1)]
    metadata: dict[str, Any]
    t: Annotated[int, Field(ge=1)] | None = None  # where the chains start; None: x_T
    image: SourceImage | None = None  # of variations
    image_a: SourceImage | None = None  # of interpolate
    image_b: SourceImage | None = None
    lambdas: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] | None = None  # None: even
    labels: tuple[str, ...] | None = None  # one for all, or one for each; None: of no class
    guidance: Annotated[float, Field(ge=0.0, le=MAX_GUIDANCE)] | None = None  # with labels
    webhook: WebhookSpec | None = None

    @property
    def sources(self) -> dict[str, SourceImage]:
        """The images it starts from, by the names of their fields."""
        named = {"image": self.image, "image_a": self.image_a, "image_b": self.image_b}
        return {name: source for name, source in named.items() if source is not None}

    def label_of(self, index: int) -> str | None:
        """What image `index` is to show."""
        if self.labels is None:
            return None
        return self.labels[0 if len(self.labels) == 1 else index - self.first_index]

    def lambda_of(self, index: int) -> float:
        """How far image `index` of an interpolation is on its way from a (0) to b (1)."""
        slot = index - self.first_index
        return slot / (self.n - 1) if self.lambdas is None else self.lambdas[slot]


class Claim(Message):
    """What a PNG file tells of its making, which a job samples again to verify it."""

    model_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    engine: Annotated[str, Field(pattern=ENGINE_PATTERN)]
    pixels_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]  # of the pixels that it has
    intact: bool  # whether they are those that it tells of


class ShardMessage(Message):
    """The argument of the RQ job: run images [k * shard, (k + 1) * shard) of a job."""

    version: Literal[1] = 1
    job_id: Annotated[str, Field(pattern=JOB_ID_PATTERN)]
    shard: Annotated[int, Field(ge=0, le=MAX_IMAGES)]


class ImageManifest(Message):
    """One finished image. `pixels_sha256` is of the unscaled uint8 pixels, H W C."""

    index: int
    pixels_sha256: str
    bytes: int
    width: int
    height: int
    label: str | None = None


class JobError(Message):
    """Why a job failed: a problem document (RFC 9457) with a stable code."""

    code: str
    title: str
    detail: str


class DeliveryAttempt(Message):
    """One POST of a webhook: what the endpoint answered, or why there was no answer."""

    at: float  # seconds since the epoch
    status: int | None = None
    error: str | None = None


class Published(Message):
    """The base of what workers say of themselves, for front ends that live on while they do.

    What a newer worker says beyond this is ignored: not all processes are replaced in one moment.
    """

    model_config = ConfigDict(extra="ignore")


class SamplerInfo(Published):
    """A sampler a model offers, with what is used where the client says nothing."""

    name: SamplerName
    steps: int
    spacing: Spacing = "leading"
    variance: Variance | None = None
    clip: float | None = None


class ModelInfo(Published):
    """What a worker publishes of its model. It outlives the worker."""

    name: Annotated[str, Field(pattern=MODEL_NAME_PATTERN)]
    sha256: str  # of the weights file
    image_size_px: int
    channels: int
    T: int
    samplers: tuple[SamplerInfo, ...]
    labels: tuple[str, ...] = ()  # of the classes; none: unconditional
    labels_needed: bool = False  # whether it can draw nothing of no class, so that none is guided
    card: dict[str, Any] = {}


class WorkerLoad(Published):
    """How busy a worker is; rates are over its last seconds."""

    rows_running: int  # images that have taken a step and not their last
    rows_waiting: int  # claimed, and not begun
    width: int  # rows of a full step
    images_per_s: float = 0.0
    steps_per_s: float = 0.0
    occupancy: float = 0.0  # rows of its steps, as a part of their width: 0 ... 1


class WorkerInfo(Published):
    """What a live worker says of itself with every heartbeat."""

    name: str
    model: str
    device: str
    precision: str  # of the network
    mode: str = "eager"  # or compiled, or graph
    engine: str  # fingerprint of all that decides how its numbers round
    counters: dict[str, int] = {}
    load: WorkerLoad | None = None
