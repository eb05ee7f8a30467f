"""PNG files that were made by the service: read, and held to what the job lists. Pure."""

import hashlib
import io

from PIL import Image

from denoised_client.errors import DamagedImage
from denoised_client.resources import ImageEntry


def picture(png: bytes, entry: ImageEntry, *, scale: int) -> Image.Image:
    """The picture; `info["denoised"]` says how it was made. Raises DamagedImage."""
    image = opened_picture(png)
    if pixels_sha256(image, scale=scale) != entry.pixels_sha256:
        raise DamagedImage(f"{entry.url} does not have the pixels {entry.pixels_sha256}")
    return image


def opened_picture(png: bytes) -> Image.Image:
    """Decoded, whole. Raises DamagedImage."""
    try:
        image = Image.open(io.BytesIO(png))
        image.load()
    except (OSError, SyntaxError) as error:  # what Pillow raises for a broken file
        raise DamagedImage(f"this is no whole PNG file: {error}") from error
    return image


def pixels_sha256(image: Image.Image, *, scale: int) -> str:
    """Of the pixels as the model drew them, before each became scale x scale."""
    if scale > 1:
        size = (image.width // scale, image.height // scale)
        image = image.resize(size, Image.Resampling.NEAREST)
    return hashlib.sha256(image.tobytes()).hexdigest()
