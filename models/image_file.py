"""One image file: what its header tells, and its pixels in eight bits.

Levels of 16 bits are rounded to the nearest of 256; of an animation the first frame is
read. Transparency is dropped: what was hidden under it shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
BROKEN = (  # Pillow's four, and what AVIF, DDS (NotImplementedError) and TIFF raise besides
    *(OSError, SyntaxError, ValueError, Image.DecompressionBombError),
    *(RuntimeError, TypeError),
)

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class UnreadableImage(ValueError):
    """A file cannot be read as an image; the message says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    size: tuple[int, int]  # width and height
    is_grey: bool


def read_header(path: Path) -> Header:
    """Raises UnreadableImage."""
    with _opened(path) as image:
        if image.mode == "F":
            raise ValueError("levels in floating point, which have no scale")
        return Header(image.size, _is_grey(image))


def read_into(pixels: Pixels, path: Path) -> None:
    """Decode a file into `pixels` (C, H, W): grey for one channel, RGB for three.

    Raises UnreadableImage; what `pixels` holds then is anything.
    """
    with _opened(path) as image:
        eight_bits = _in_eight_bits(image)
        levels = np.asarray(eight_bits.convert("L" if len(pixels) == 1 else "RGB"))
        pixels[:] = np.moveaxis(np.atleast_3d(levels), -1, 0)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except BROKEN as error:
        raise UnreadableImage(str(error)) from error


def _is_grey(image: Image.Image) -> bool:
    return image.mode == "L" or _is_wide(image)


def _is_wide(image: Image.Image) -> bool:
    """Grey of more than eight bits: mode I, of 32, or I;16 in one of its byte orders."""
    return image.mode.startswith("I")


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """65535 becomes 255; Pillow would clip everything from 255 on."""
    if not _is_wide(image):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 0xFFFF:
        raise ValueError(f"levels of {levels.min()} ... {levels.max()} are not of 16 bits")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))  # divided and rounded
