"""What becomes of each kind of image file in a folder: depth, colours, orientation, frames."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from models.data import load_images
from tests.models.files import Pixels, pixels


def only(folder: Path) -> Pixels:
    """A folder's only image, channels last; grey has none."""
    (image,) = load_images(folder)
    return channels_last(image)


def channels_last(image: Tensor) -> Pixels:
    pixels: Pixels = image.permute(1, 2, 0).squeeze(2).numpy()
    return pixels


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
