"""Images to start from: as they are given, and as they are sent. Pure, but for reading files."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from denoised_client.errors import Unsendable


@dataclass(frozen=True, slots=True)
class JobImage:
    """Image `index` of a job: it is there already and need not be sent."""

    job: str
    index: int


ImageFile = Image.Image | bytes | str | Path  # a picture, a PNG file's bytes, a file's path
ImageInput = ImageFile | JobImage | Mapping[str, Any]  # the last as a request has it
RECIPE = ("parameters", "denoised")  # the text chunks that say how an image was made


def as_json(image: ImageInput) -> str | dict[str, Any]:
    """Nothing is converted: what does not fit the model, the service refuses, saying what would.

    Raises like `as_png`.
    """
    if isinstance(image, JobImage):
        return {"job": image.job, "index": image.index}
    if isinstance(image, Mapping):
        return dict(image)
    return base64.b64encode(as_png(image)).decode()


def as_png(image: ImageFile) -> bytes:
    """The file, a picture's with the recipe it came with.

    Raises OSError for a path that cannot be read, Unsendable for what is no image.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    if not isinstance(image, Image.Image):
        kind = type(image).__name__
        raise Unsendable(f"image: a picture of Pillow's, a PNG's bytes or its path, not {kind}")
    recipe, file = PngInfo(), io.BytesIO()
    for name in RECIPE:
        if name in image.info:
            recipe.add_text(name, image.info[name])
    image.save(file, "png", pnginfo=recipe)
    return file.getvalue()
