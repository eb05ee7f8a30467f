"""The images that a job's chains start from: sent with it, or another job's."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import ApiError, FieldError, InvalidImage
from app.images import ImageService
from app.png_input import NotThisImage, from_base64, pixels_of
from app.schemas import ImageChoice
from protocol.messages import ModelInfo, SourceImage


@dataclass(frozen=True, slots=True)
class Source:
    """An image as the worker gets it: uint8 H W C, and what is recorded of it."""

    pixels: bytes
    described: SourceImage


class SourceImages:
    """Reads them, and holds each to what the model can start from."""

    def __init__(self, images: ImageService) -> None:
        self._images = images

    def read(self, chosen: Mapping[str, ImageChoice], model: ModelInfo) -> dict[str, Source]:
        """By field. Raises InvalidImage, which tells of every image that will not do."""
        found, refused = {}, []
        for name, choice in chosen.items():
            try:
                found[name] = self._source(choice, model)
            except _Refused as error:
                refused.append(FieldError(pointer=f"/{name}{error.pointer}", detail=str(error)))
        if refused:
            raise InvalidImage(refused)
        return found

    def _source(self, choice: ImageChoice, model: ModelInfo) -> Source:
        try:
            png, scale = self._file(choice)
            pixels = pixels_of(png, size=model.image_size_px, channels=model.channels, scale=scale)
        except NotThisImage as error:
            raise _Refused(str(error)) from error
        sha256 = hashlib.sha256(pixels).hexdigest()
        if choice.pixels_sha256 not in (None, sha256):
            raise _Refused(f"Its pixels have the sha256 {sha256}.", "/pixels_sha256")
        described = SourceImage(pixels_sha256=sha256, job=choice.job, index=choice.index)
        return Source(pixels, described)

    def _file(self, choice: ImageChoice) -> tuple[bytes, int]:
        """The PNG, and its scale: a job's images may have been written larger than they are."""
        if choice.job is None or choice.index is None:
            return from_base64(choice.png or ""), 1
        try:
            return self._images.with_scale(choice.job, choice.index)
        except ApiError as error:
            raise _Refused(error.detail) from error


class _Refused(Exception):
    """Why an image will not do; `pointer` is within its field."""

    def __init__(self, why: str, pointer: str = "") -> None:
        super().__init__(why)
        self.pointer = pointer
