"""How the service itself is."""

from typing import Literal

from pydantic import BaseModel, Field

from protocol.messages import Priority, WorkerLoad


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
