"""What a job will take, before anybody runs it. Pure."""

from app.resources.jobs import Cost, DryRun, ModelRef
from protocol.messages import JobRequest, ModelInfo

IMAGE_OVERHEAD_BYTES = 1024  # text chunks, manifest, hash fields
GROWTH_WITH_SCALE = 0.15


def dry_run(request: JobRequest, model: ModelInfo) -> DryRun:
    """The answer to who asks first."""
    reference = ModelRef(name=model.name, sha256=model.sha256)
    return DryRun(model=reference, request=request, cost=cost(request, model))


def cost(request: JobRequest, model: ModelInfo) -> Cost:
    """Evaluations are exact. Bytes are what an admission sets aside for it."""
    steps = request.n * request.sampler.steps
    return Cost(
        images=request.n,
        steps=steps,
        forward_evaluations=steps * _asked_a_step(request),
        bytes=request.n * bytes_of_image(request, model),
    )


def bytes_of_image(request: JobRequest, model: ModelInfo) -> int:
    """What a PNG takes in Redis with all that belongs to it, at most, about.

    Of pixels that do not compress at all: a filtered PNG of an image enlarged by `scale` grows by
    some 15 % of the raw pixels for each (measured for 8 x 8 to 64 x 64, scales 1 to 16).
    """
    raw = model.image_size_px**2 * model.channels
    return IMAGE_OVERHEAD_BYTES + int(raw * (1 + GROWTH_WITH_SCALE * request.output.scale))


def _asked_a_step(request: JobRequest) -> int:
    """A guided image's network is asked of its class, and of none."""
    return 2 if request.guidance not in (None, 1.0) else 1
