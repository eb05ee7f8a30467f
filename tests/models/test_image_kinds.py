"""What becomes of each kind of image file in a folder: depth, colours, orientation, frames."""

import io
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from models.data import load_images
from tests.models.files import Pixels, pixels

SIDEWAYS = 6  # the camera was held with its right side down


def only(folder: Path) -> Pixels:
    """A folder's only image, channels last; grey has none."""
    (image,) = load_images(folder)
    return channels_last(image)


def channels_last(image: Tensor) -> Pixels:
    pixels: Pixels = image.permute(1, 2, 0).squeeze(2).numpy()
    return pixels


def words(height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    """Levels of 16 bits, the darkest and the brightest among them."""
    return np.linspace(0, 0xFFFF, height * width).astype(np.uint16).reshape(height, width)


def deep(mode: str, levels: np.ndarray[Any, Any]) -> Image.Image:
    """An image of a mode with more than eight bits."""
    stored = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    height, width = levels.shape
    return Image.frombytes(mode, (width, height), levels.astype(stored).tobytes())


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "I;16"), ("a.tif", "I;16"), ("a.tiff", "I;16B"), ("a.tif", "I")],
)
def test_grey_of_16_bits_becomes_the_nearest_of_8(tmp_path: Path, name: str, mode: str) -> None:
    levels = words(256, 300)
    deep(mode, levels).save(tmp_path / name)
    image = only(tmp_path)
    assert np.array_equal(image, np.rint(levels / 257))
    assert (image.min(), image.max()) == (0, 255)


def test_grey_of_16_bits_among_colours_becomes_colour(tmp_path: Path) -> None:
    deep("I;16", words(4, 5)).save(tmp_path / "a.png")
    Image.fromarray(pixels(4, 5, 3)).save(tmp_path / "b.png")
    images = load_images(tmp_path)
    grey = torch.from_numpy(np.rint(words(4, 5) / 257).astype(np.uint8))
    assert torch.equal(images[0], grey.expand(3, 4, 5))


@pytest.mark.parametrize(
    ("mode", "level", "why"),
    [("I", 0x10000, "0 ... 65536"), ("I", -1, "-1 ... 0"), ("F", 0.5, "floating point")],
)
def test_levels_without_a_known_scale_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, level: float, why: str
) -> None:
    levels = np.zeros((4, 5))
    levels[2, 2] = level
    deep(mode, levels).save(tmp_path / "odd.tif")
    deep("I;16", words(4, 5)).save(tmp_path / "whole.tif")
    with caplog.at_level(logging.WARNING):
        assert load_images(tmp_path).shape == (1, 1, 4, 5)
    assert f"{tmp_path / 'odd.tif'}: skipped, not a readable image: levels" in caplog.text
    assert why in caplog.text
    assert "1 of 2 images skipped" in caplog.text


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 6, 3), (6, 5)])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg"])
def test_images_stand_as_their_exif_says(
    tmp_path: Path, name: str, orientation: int, shape: tuple[int, ...]
) -> None:
    image = Image.fromarray(pixels(*shape))
    image.save(tmp_path / name, exif=turned(orientation), lossless=True)
    with Image.open(tmp_path / name) as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved))
    assert np.array_equal(only(tmp_path), upright)


def test_a_camera_held_sideways(tmp_path: Path) -> None:
    image = pixels(6, 5, 3)
    Image.fromarray(image).save(tmp_path / "a.png", exif=turned(SIDEWAYS))
    assert np.array_equal(only(tmp_path), np.rot90(image, -1))


def with_exif_last(png: bytes) -> bytes:
    """A PNG whose EXIF stands behind its pixels, as it may."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4])
    trailer = png.index(b"IEND") - 4
    return png[:start] + png[end:trailer] + png[start:end] + png[trailer:]


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 6, 3)])
def test_exif_behind_the_pixels_counts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image, path = pixels(*shape), tmp_path / "a.png"
    Image.fromarray(image).save(path, exif=turned(SIDEWAYS))
    path.write_bytes(with_exif_last(path.read_bytes()))
    assert np.array_equal(only(tmp_path), np.rot90(image, -1))


def test_exif_that_cannot_be_written_anew_is_read(tmp_path: Path) -> None:
    exif = turned(SIDEWAYS)
    exif[ExifTags.Base.XResolution] = 72.0
    number, text = (struct.pack(">HH", ExifTags.Base.XResolution, kind) for kind in (5, 2))
    assert number in exif.tobytes()
    path = tmp_path / "a.png"
    Image.fromarray(pixels(6, 5, 3)).save(path, exif=exif.tobytes().replace(number, text))
    with Image.open(path) as saved, pytest.raises(TypeError):
        ImageOps.exif_transpose(saved)
    assert np.array_equal(only(tmp_path), np.rot90(pixels(6, 5, 3), -1))


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.tiff", "a.GIF"])
def test_gif_and_tiff_are_read(tmp_path: Path, name: str) -> None:
    Image.fromarray(pixels(6, 5, 3)).save(tmp_path / name)
    assert np.array_equal(only(tmp_path), pixels(6, 5, 3))


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def broken(kind: str) -> bytes:
    """A file that Pillow refuses with an error that is not for broken files."""
    content = bytearray(encoded(Image.fromarray(pixels(16, 16, 3)), kind))
    if kind == "AVIF":  # RuntimeError
        pixels_start = content.index(b"mdat") + 4
        content[pixels_start:] = bytes(len(content) - pixels_start)
    if kind == "DDS":  # NotImplementedError
        content[80:84] = bytes(4)  # pixel format
    if kind == "TIFF":  # TypeError
        strip_offsets = content.rindex(struct.pack("<HH", 273, 4))
        content[strip_offsets + 2] = 2  # text
    return bytes(content)


@pytest.mark.parametrize("kind", ["AVIF", "DDS", "TIFF"])
def test_a_file_broken_in_an_unusual_way_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    (tmp_path / "broken.png").write_bytes(broken(kind))
    Image.fromarray(pixels(16, 16, 3)).save(tmp_path / "whole.png")
    with caplog.at_level(logging.WARNING):
        assert len(load_images(tmp_path)) == 1
    assert f"{tmp_path / 'broken.png'}: skipped" in caplog.text


def painted(indices: Pixels, palette: Pixels) -> Image.Image:
    height, width = indices.shape
    image = Image.frombytes("P", (width, height), indices.tobytes())
    image.putpalette(palette.tobytes())
    return image


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp", "a.tif"])
def test_a_palette_gives_its_colours(tmp_path: Path, name: str) -> None:
    indices, palette = pixels(6, 5) % 16, pixels(16, 3)
    painted(indices, palette).save(tmp_path / name)
    assert np.array_equal(only(tmp_path), palette[indices])


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.bmp", "a.tif"])
def test_a_palette_of_greys_is_grey(tmp_path: Path, name: str) -> None:
    indices, greys = pixels(6, 5) % 16, pixels(16, 1)
    painted(indices, greys.repeat(3, axis=1)).save(tmp_path / name)
    assert np.array_equal(only(tmp_path), greys[indices, 0])


@pytest.mark.parametrize(
    ("name", "transparent"), [("a.png", 3), ("a.png", bytes(range(16))), ("a.gif", 3)]
)
def test_transparent_colours_of_a_palette_show(
    tmp_path: Path, name: str, transparent: int | bytes
) -> None:
    indices, palette = pixels(6, 5) % 16, pixels(16, 3)
    painted(indices, palette).save(tmp_path / name, transparency=transparent)
    assert np.array_equal(only(tmp_path), palette[indices])


def test_transparent_grey_is_grey(tmp_path: Path) -> None:
    Image.fromarray(pixels(6, 5, 2)).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path), pixels(6, 5, 2)[..., 0])


def test_one_bit_is_black_or_white(tmp_path: Path) -> None:
    bits = pixels(6, 5) > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path), np.where(bits, 255, 0))


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_ink_becomes_light(tmp_path: Path, name: str) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / name)
    red = np.broadcast_to(np.array([255, 0, 0]), (16, 16, 3))
    assert np.abs(only(tmp_path) - red).max() <= 2  # JPEG rounds


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp", "a.tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, name: str) -> None:
    first, *others = (Image.fromarray(pixels(6, 5, 3) // 128 * shade) for shade in (250, 90, 10))
    first.save(tmp_path / name, save_all=True, append_images=others, lossless=True)
    with Image.open(tmp_path / name) as saved:
        assert saved.n_frames == 3  # type: ignore[attr-defined]
    assert np.array_equal(only(tmp_path), pixels(6, 5, 3) // 128 * 250)
