"""One image file: what its header tells, and its pixels in eight bits.

Levels of 16 bits are rounded to the nearest of 256; EXIF says which side is up; of an animation the
first frame is read. Transparency is dropped: what was hidden under it shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.Image import Transpose

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
BROKEN = (  # Pillow's four, and what AVIF, DDS (NotImplementedError) and TIFF raise besides
    *(OSError, SyntaxError, ValueError, Image.DecompressionBombError),
    *(RuntimeError, TypeError),
)
TURNS = {  # orientation in EXIF: what undoes it
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class UnreadableImage(ValueError):
    """A file cannot be read as an image; the message says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    size: tuple[int, int]  # width and height, the right way up
    is_grey: bool


def read_header(path: Path) -> Header:
    """Raises UnreadableImage."""
    with _opened(path) as image:
        if image.mode == "F":
            raise ValueError("levels in floating point, which have no scale")
        return Header(_upright_size(image), _is_grey(image))


def read_into(pixels: Pixels, path: Path) -> None:
    """Decode a file into `pixels` (C, H, W): grey for one channel, RGB for three.

    Raises UnreadableImage; what `pixels` holds then is anything.
    """
    with _opened(path) as image:
        eight_bits = _in_eight_bits(_upright(image))
        eight_bits.info.pop("transparency", None)  # Pillow warns of a palette that loses it
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
    """Decodes an image with a palette, which Pillow tells only then."""
    if image.mode in ("P", "PA"):
        palette = image.getpalette() or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in ("1", "L", "LA") or _is_wide(image)


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


def _upright(image: Image.Image) -> Image.Image:
    """As ImageOps.exif_transpose, which also writes EXIF anew, and fails where that cannot be."""
    image.load()  # which turns a TIFF
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Of a square without asking, as a PNG would decode itself to answer."""
    if image.width == image.height or _turn(image) is None:
        return image.size
    return _upright(image).size


def _turn(image: Image.Image) -> Transpose | None:
    return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
