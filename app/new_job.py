"""A job as it comes in."""

import time
from collections.abc import Mapping

import uuid_utils

from app.cost import bytes_of_image
from protocol.job_record import NewJob
from protocol.messages import Claim, JobRequest, ModelInfo
from protocol.registry import Registry


def new_job(
    request: JobRequest,
    model: ModelInfo,
    *,
    tenant: str,
    sources: Mapping[str, bytes],
    claim: Claim | None = None,
    engine: str = "",
    request_id: str = "",
) -> NewJob:
    """Under an id of its own, as of now."""
    return NewJob(
        f"job_{uuid_utils.uuid7().hex}",
        request,
        model_sha256=model.sha256,
        created_at=time.time(),
        tenant=tenant,
        sources=sources,
        image_bytes=bytes_of_image(request, model),
        claim=claim,
        engine=engine,
        request_id=request_id,
    )


def engine_to_wait_for(claim: Claim, model: ModelInfo, registry: Registry) -> str:
    """The one that made the image to verify, if a worker of it lives; else "": any will do."""
    return claim.engine if claim.engine in registry.live_engines(model.name) else ""
