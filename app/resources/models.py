"""Models and who serves them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from protocol.messages import SamplerInfo


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
    labels_needed: bool = Field(description="Whether every image must be, and guidance be 1.")
    card: dict[str, Any] = Field(description="What it is: data, licence, training, metrics.")
    workers: list[ModelWorker] = Field(description="Those alive; none: jobs wait.")


class ModelList(BaseModel):
    """All of them, by name."""

    object: Literal["list"] = "list"
    data: list[Model]
