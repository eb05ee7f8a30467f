"""From a PNG that was made here to the job that makes it again, and to what that has shown."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from redis import Redis

from app.errors import FieldError, InvalidImage, InvalidRequest
from app.png_input import NotThisImage, pixels_of
from app.recipes import Recipe, recipe_of, request_of, within_image
from app.resolve import choose_model
from app.resources.jobs import Verification
from app.verdicts import largest_difference, verdict
from protocol.image_store import RedisImageStore
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.messages import Claim, ImageManifest, JobRequest, ModelInfo

SOURCE = "image"  # the name under which the pixels lie beside the job
MAX_PIXELS = 2**24


@dataclass(frozen=True, slots=True)
class ToVerify:
    """A job of one image, and what its image is held against."""

    request: JobRequest
    model: ModelInfo
    claim: Claim
    pixels: bytes  # uint8, H W C


def to_verify(png: bytes, models: Mapping[str, ModelInfo]) -> ToVerify:
    """Raises InvalidImage where the file is not an image that one of the models could have made;
    NoWorker where there are no models."""
    recipe = recipe_of(png)
    try:
        model = choose_model(recipe.model, models)
    except InvalidRequest as error:
        raise within_image(error) from error
    request = request_of(recipe, model)
    pixels = _pixels(png, recipe, model)
    sha256 = hashlib.sha256(pixels).hexdigest()
    claim = Claim(
        model_sha256=recipe.model_sha256,
        engine=recipe.engine,
        pixels_sha256=sha256,
        intact=sha256 == recipe.pixels_sha256,
    )
    return ToVerify(request, model, claim, pixels)


class Verifier:
    """Holds what a job has made against what it was to verify."""

    def __init__(self, redis: Redis) -> None:
        self._store = JobStore(redis)
        self._images = RedisImageStore(redis)

    def read(
        self, record: JobRecord, manifests: Mapping[int, ImageManifest]
    ) -> Verification | None:
        """Of a job that verifies an image; without a result while its own is not there."""
        if record.claim is None:
            return None
        made = next(iter(manifests.values()), None)
        difference = None if made is None else self._difference(record, record.claim, made)
        return verdict(record, record.claim, difference=difference)

    def _difference(self, record: JobRecord, claim: Claim, made: ImageManifest) -> int | None:
        """None where the images have just expired."""
        if made.pixels_sha256 == claim.pixels_sha256:
            return 0
        sent = self._store.sources(record.id).get(SOURCE)
        png = self._images.get(record.id, 0)
        if sent is None or png is None:
            return None
        scale = record.request.output.scale
        size = made.width // scale
        pixels = pixels_of(png, size=size, channels=len(sent) // size**2, scale=scale)
        return largest_difference(sent, pixels)


def _pixels(png: bytes, recipe: Recipe, model: ModelInfo) -> bytes:
    size, scale = model.image_size_px, recipe.scale
    try:
        if (size * scale) ** 2 > MAX_PIXELS:
            raise NotThisImage(f"Images of up to {MAX_PIXELS} pixels can be verified.")
        return pixels_of(png, size=size, channels=model.channels, scale=scale)
    except NotThisImage as error:
        raise InvalidImage([FieldError(pointer=f"/{SOURCE}", detail=str(error))]) from error
