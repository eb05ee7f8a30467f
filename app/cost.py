"""What a job would take, before anybody runs it. Pure."""

import math

from app.resources.jobs import Cost, DryRun, ModelRef
from protocol.messages import JobRequest, ModelInfo

OVERHEAD_BYTES = 900  # an image's text chunks, its manifest, and what Redis needs to hold both


def dry_run(request: JobRequest, model: ModelInfo) -> DryRun:
    """The answer to who asks first."""
    reference = ModelRef(name=model.name, sha256=model.sha256)
    return DryRun(model=reference, request=request, cost=cost(request, model))


def cost(request: JobRequest, model: ModelInfo) -> Cost:
    """Evaluations are exact. Bytes are an upper estimate: as if pixels were noise, which a PNG
    does not make smaller; scaled ones are larger by the root of the scale, as far as was seen."""
    steps = request.n * request.sampler.steps
    raw_bytes = model.channels * model.image_size_px**2 * math.sqrt(request.output.scale)
    return Cost(
        images=request.n,
        steps=steps,
        forward_evaluations=steps * _asked_a_step(request),
        bytes=request.n * (math.ceil(raw_bytes) + OVERHEAD_BYTES),
    )


def _asked_a_step(request: JobRequest) -> int:
    """A guided image's network is asked of its class, and of none."""
    return 2 if request.guidance not in (None, 1.0) else 1
