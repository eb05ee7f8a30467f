"""MNIST's files: IDX, plain and gzipped, whole and broken."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data import load_images, read_idx
from tests.models.files import Pixels, pixels, refusal


def idx(array: Pixels) -> bytes:
    """The file format."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
def test_an_idx_file_is_read_plain_and_gzipped(tmp_path: Path, name: str) -> None:
    array, path = pixels(5, 4, 3), tmp_path / name
    path.write_bytes(gzip.compress(idx(array)) if path.suffix == ".gz" else idx(array))
    images = load_images(path)
    assert images.dtype == torch.uint8
    assert torch.equal(images, torch.from_numpy(array)[:, None])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_mnist_files_gives_the_split_asked_for(tmp_path: Path, suffix: str) -> None:
    for split, count in (("train", 3), ("t10k", 2)):
        content = idx(pixels(count, 4, 4))
        path = tmp_path / f"{split}-images-idx3-ubyte{suffix}"
        path.write_bytes(gzip.compress(content) if suffix else content)
    assert load_images(tmp_path).shape == (3, 1, 4, 4)
    assert load_images(tmp_path, split="t10k").shape == (2, 1, 4, 4)


def test_labels_are_read_as_one_axis(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(idx(pixels(7)))
    assert np.array_equal(read_idx(tmp_path / "labels"), pixels(7))


@pytest.mark.parametrize("change", [-1, -20, 1])
def test_a_file_of_the_wrong_length_is_named(tmp_path: Path, change: int) -> None:
    content, path = idx(pixels(5, 4, 3)), tmp_path / "images"
    path.write_bytes(content[:change] if change < 0 else content + b"\0")
    assert refusal(path).startswith(f"{path}: holds {60 + change} bytes, its header promises")


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\0\0\x0d\1" + bytes(8), b"\1\0\x08\3" + bytes(99), b"not at all"]
)
def test_a_file_with_another_magic_number_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    assert f"{path}: not an IDX file" in refusal(path)


@pytest.mark.parametrize("kept", [4, 8, 15])
def test_a_file_cut_in_its_header_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "images"
    path.write_bytes(idx(pixels(5, 4, 3))[:kept])
    assert refusal(path) == f"{path}: ends within its header"


@pytest.mark.parametrize("how", ["cut", "plain", "broken"])
def test_a_gzip_file_that_cannot_be_unpacked_is_named(tmp_path: Path, how: str) -> None:
    path, packed = tmp_path / "images.gz", gzip.compress(idx(pixels(5, 4, 3)))
    broken = packed[:10] + b"\xff" + packed[11:]  # a block type that deflate does not have
    path.write_bytes({"cut": packed[:-4], "plain": idx(pixels(5, 4, 3)), "broken": broken}[how])
    assert f"{path}: not a readable gzip file" in refusal(path)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such file or folder"
