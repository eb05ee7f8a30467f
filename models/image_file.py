"""One image file: what its header tells, and its pixels in eight bits.

Of an animation the first frame is read. Transparency is dropped: what was hidden under it shows.
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
        return Header(image.size, _is_grey(image))


def read_into(pixels: Pixels, path: Path) -> None:
    """Decode a file into `pixels` (C, H, W): grey for one channel, RGB for three.

    Raises UnreadableImage; what `pixels` holds then is anything.
    """
    with _opened(path) as image:
        levels = np.asarray(image.convert("L" if len(pixels) == 1 else "RGB"))
        pixels[:] = np.moveaxis(np.atleast_3d(levels), -1, 0)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except BROKEN as error:
        raise UnreadableImage(str(error)) from error


def _is_grey(image: Image.Image) -> bool:
    return image.mode == "L"
