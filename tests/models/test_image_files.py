"""Images from .npz archives and from folders, whole and broken."""

import logging
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.data import load_images
from tests.models.files import pixels, refusal
from tests.models.tiny import FASHION


def traced(source: Path) -> tuple[Tensor, int]:
    """Images, and the most bytes that numpy and Python held while they were loaded."""
    load_images(source)  # Pillow imports what it needs when it needs it
    tracemalloc.start()
    try:
        images = load_images(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return images, peak


def test_an_archive_gives_its_images_and_not_its_labels() -> None:
    images = load_images(FASHION)
    assert (images.shape, images.dtype) == ((512, 1, 28, 28), torch.uint8)
    assert 60 < images.float().mean() < 85  # Fashion-MNIST's mean is 73


def test_the_only_array_of_an_archive_needs_no_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", whatever=pixels(2, 4, 4))
    assert torch.equal(load_images(tmp_path / "a.npz")[:, 0], torch.from_numpy(pixels(2, 4, 4)))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_come_first_whichever_way_they_are_stored(tmp_path: Path, channels: int) -> None:
    last = pixels(2, 5, 4, channels)
    np.savez(tmp_path / "last.npz", images=last)
    np.savez(tmp_path / "first.npz", images=last.transpose(0, 3, 1, 2))
    images = load_images(tmp_path / "last.npz")
    assert images.shape == (2, channels, 5, 4)
    assert images.is_contiguous()
    assert torch.equal(images, load_images(tmp_path / "first.npz"))
    assert torch.equal(images.permute(0, 2, 3, 1), torch.from_numpy(last))


@pytest.mark.parametrize("shape", [(99, 256, 256), (33, 3, 256, 256), (99, 256, 256, 1)])
def test_an_archive_takes_the_memory_of_its_pixels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "a.npz", images=pixels(*shape))
    images, peak = traced(tmp_path / "a.npz")
    assert peak < 1.2 * images.nbytes


@pytest.mark.parametrize(
    "array", [pixels(4, 4), pixels(1, 2, 3, 4, 5), np.zeros((2, 4, 4), np.float32)]
)
def test_an_array_that_is_no_stack_of_byte_images_is_named(
    tmp_path: Path, array: np.ndarray[Any, Any]
) -> None:
    np.savez(tmp_path / "a.npz", images=array)
    message = refusal(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in message
    assert str(array.dtype) in message


def bad_archive(path: Path, how: str) -> None:
    """Write an .npz file that cannot be read."""
    if how == "one array, not an archive":
        with path.open("wb") as file:
            np.save(file, pixels(2, 4, 4))
        return
    arrays: dict[str, Any] = {"empty": {}, "pickled": {"images": np.array([{}, {}])}}
    np.savez(path, **arrays.get(how, {"images": pixels(2, 4, 4)}))
    if how == "bytes changed":
        path.write_bytes(path.read_bytes().replace(pixels(2, 4, 4).tobytes(), bytes(32)))
    if how == "cut":
        path.write_bytes(path.read_bytes()[:99])


@pytest.mark.parametrize(
    "how", ["one array, not an archive", "empty", "pickled", "bytes changed", "cut"]
)
def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path, how: str) -> None:
    bad_archive(tmp_path / "a.npz", how)
    assert f"{tmp_path / 'a.npz'}: not an .npz file of images" in refusal(tmp_path / "a.npz")


def write_images(folder: Path, *shapes: tuple[int, ...]) -> None:
    for i, shape in enumerate(shapes):
        (folder / f"class{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels(*shape)).save(folder / f"class{i % 2}" / f"{i}.png")


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    write_images(tmp_path, (6, 5), (6, 5), (6, 5))
    images = load_images(tmp_path)
    assert images.shape == (3, 1, 6, 5)
    assert torch.equal(images[0, 0], torch.from_numpy(pixels(6, 5)))


def test_colour_images_keep_their_channels(tmp_path: Path) -> None:
    write_images(tmp_path, (6, 5, 3), (6, 5, 3))
    images = load_images(tmp_path)
    assert images.shape == (2, 3, 6, 5)
    assert torch.equal(images[1].permute(1, 2, 0), torch.from_numpy(pixels(6, 5, 3)))


def test_one_colour_image_makes_a_folder_one_of_colour(tmp_path: Path) -> None:
    write_images(tmp_path, (6, 5), (6, 5, 3), (6, 5))
    images = load_images(tmp_path)
    assert images.shape == (3, 3, 6, 5)
    grey, colour = torch.from_numpy(pixels(6, 5)), torch.from_numpy(pixels(6, 5, 3))
    assert torch.equal(images[0], grey.expand(3, 6, 5))
    assert torch.equal(images[2].permute(1, 2, 0), colour)  # of class1


def test_a_colour_image_that_is_broken_leaves_a_folder_grey(tmp_path: Path) -> None:
    write_images(tmp_path, (16, 16), (16, 16, 3), (16, 16))
    broken = tmp_path / "class1" / "1.png"
    broken.write_bytes(spoiled(broken, "truncated.png"))
    images = load_images(tmp_path)
    assert images.shape == (2, 1, 16, 16)
    assert images.is_contiguous()


def test_transparency_is_dropped(tmp_path: Path) -> None:
    write_images(tmp_path, (6, 5, 4), (6, 5, 3))
    images = load_images(tmp_path)
    assert torch.equal(images[0].permute(1, 2, 0), torch.from_numpy(pixels(6, 5, 4)[..., :3]))


def spoiled(path: Path, how: str) -> bytes:
    """What a whole image's file at `path` becomes."""
    content = bytearray(path.read_bytes())
    if how == "truncated.png":
        del content[150:]
    if how == "chunk.png":
        start = content.index(b"IDAT")
        content[start - 4 : start] = struct.pack(">I", 10)  # the rest is no chunk
    if how == "palette.bmp":
        content[46:50] = struct.pack("<I", 272)  # colours used
    if how == "bomb.bmp":
        content[18:26] = struct.pack("<ii", 60_000, 60_000)  # width and height
    return {"empty.png": b"", "text.jpg": b"hello"}.get(how, bytes(content))


@pytest.mark.parametrize(
    "how", ["empty.png", "text.jpg", "truncated.png", "chunk.png", "palette.bmp", "bomb.bmp"]
)
def test_a_broken_image_is_skipped_and_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    write_images(tmp_path, (16, 16), (16, 16))
    broken = tmp_path / "class0" / how
    Image.fromarray(pixels(16, 16)).save(broken)
    broken.write_bytes(spoiled(broken, how))
    with caplog.at_level(logging.WARNING):
        assert load_images(tmp_path).shape == (2, 1, 16, 16)
    assert f"{broken}: skipped" in caplog.text
    assert "1 of 3 images skipped" in caplog.text


def test_a_folder_of_broken_images_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, (16, 16), (16, 16))
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(spoiled(path, "truncated.png"))
    assert f"{tmp_path}: no images that can be read" in refusal(tmp_path)


@pytest.mark.parametrize("shape", [(256, 256), (128, 128, 3)])
def test_loading_a_folder_takes_the_memory_of_its_pixels(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    write_images(tmp_path, *[shape] * 40)
    broken = tmp_path / "class0" / "0.png"
    broken.write_bytes(spoiled(broken, "truncated.png"))
    images, peak = traced(tmp_path)
    assert len(images) == 39
    assert peak < 1.2 * images.nbytes


@pytest.mark.parametrize("second", [(6, 6), (5, 6), (7, 5, 3)])
def test_an_image_of_another_size_is_named(tmp_path: Path, second: tuple[int, ...]) -> None:
    write_images(tmp_path, (6, 5), second, (6, 5))
    assert refusal(tmp_path) == (
        f"{tmp_path}: images of several sizes: 2 of 3 are 5x6 (width x height),"
        f" but not class1/1.png ({second[1]}x{second[0]}); resize or remove those"
    )


def test_of_many_images_of_other_sizes_the_first_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, *[(6, 5)] * 6, *[(6, side) for side in range(6, 11)])
    message = refusal(tmp_path)
    assert "6 of 11 are 5x6" in message
    assert "class0/10.png (10x6), class0/6.png (6x6), class0/8.png (8x6) and 2 more;" in message


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    assert f"{tmp_path}: no images" in refusal(tmp_path)
