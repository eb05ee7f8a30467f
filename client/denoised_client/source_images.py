"""Images to start from: as they are given, and as they are sent. Pure, but for reading files."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True, slots=True)
class JobImage:
    """Image `index` of a job: it is there already and need not be sent."""

    job: str
    index: int


ImageInput = Image.Image | bytes | str | Path | JobImage
"""A picture, a PNG file's bytes, a file's path, or an image of a job."""


def as_json(image: ImageInput) -> str | dict[str, str | int]:
    """Nothing is converted: what does not fit the model, the service refuses, saying what would."""
    if isinstance(image, JobImage):
        return {"job": image.job, "index": image.index}
    return base64.b64encode(as_png(image)).decode()


def as_png(image: Image.Image | bytes | str | Path) -> bytes:
    """The file. Raises OSError where a path cannot be read."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
