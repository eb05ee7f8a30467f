"""Python client of denoised, the image-generation service for DDPMs.

    from denoised_client import Client

    with Client("http://localhost:8000") as client:
        client.sample(n=16, seed=42, sampler="ddim").save("out")

`Client` blocks and `AsyncClient` awaits; both carry out the same flows (`effects`). What can go
wrong is a tree in `errors`.
"""

from denoised_client.async_client import AsyncClient
from denoised_client.async_job import AsyncJob
from denoised_client.client import Client
from denoised_client.errors import (
    ApiError,
    DamagedImage,
    DenoisedError,
    Expired,
    InvalidRequest,
    JobCanceled,
    JobEnded,
    JobExpired,
    JobFailed,
    NotAllowed,
    NotFound,
    StillRunning,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    Unsendable,
)
from denoised_client.job import Job
from denoised_client.retries import RetryPolicy
from denoised_client.source_images import JobImage

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "DamagedImage",
    "DenoisedError",
    "Expired",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobEnded",
    "JobExpired",
    "JobFailed",
    "JobImage",
    "NotAllowed",
    "NotFound",
    "RetryPolicy",
    "StillRunning",
    "TooManyRequests",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Unsendable",
]
