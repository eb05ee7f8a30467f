"""MNIST's files: IDX, plain and gzipped, whole and broken."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.data import DataError, load_images, load_labels, read_idx
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


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_labels_of_a_split_come_with_its_images(tmp_path: Path, suffix: str) -> None:
    for split, count in (("train", 7), ("t10k", 5)):
        content = idx(pixels(count))
        path = tmp_path / f"{split}-labels-idx1-ubyte{suffix}"
        path.write_bytes(gzip.compress(content) if suffix else content)
    assert torch.equal(load_labels(tmp_path), torch.from_numpy(pixels(7)).long())
    assert len(load_labels(tmp_path, split="t10k")) == 5


def test_an_npz_file_may_have_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=pixels(2, 4, 4), labels=np.array([3, 1], np.int32))
    assert load_labels(tmp_path / "a.npz").tolist() == [3, 1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": pixels(2, 4, 4)}, "no array named labels"),
        ({"labels": np.zeros((2, 1), np.int64)}, "expected labels"),
        ({"labels": np.zeros(2)}, "expected labels"),
    ],
)
def test_labels_that_are_none_are_refused(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        load_labels(tmp_path / "a.npz")


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path}: has no labels"):
        load_labels(tmp_path)


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
