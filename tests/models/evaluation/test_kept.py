"""Features of real images are looked for once, and never found where anything was otherwise."""

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.evaluation.extractor import Features
from models.evaluation.kept import Kept

IMAGES = torch.arange(5 * 16, dtype=torch.uint8).reshape(5, 1, 4, 4)


@dataclass
class Counts:
    """An extractor that knows how often it was asked."""

    sha256: str = "ab"
    names: tuple[str, ...] = ("dark", "bright")
    asked: int = 0
    classes: tuple[str, ...] = field(default=())

    def __call__(self, pixels: Tensor) -> Features:
        self.asked += 1
        values = pixels.flatten(1).double() / 3.0
        return Features(values, (values.mean(dim=1) > 10.0).long() if self.names else None)

    @property
    def told(self) -> dict[str, object]:
        return {"name": "counts", "sha256": self.sha256}


def same(a: Features, b: Features) -> bool:
    if a.classes is None or b.classes is None:
        return a.classes is b.classes and torch.equal(a.values, b.values)
    return torch.equal(a.values, b.values) and torch.equal(a.classes, b.classes)


@pytest.mark.parametrize("names", [("dark", "bright"), ()], ids=str)
def test_a_second_evaluation_looks_at_nothing_and_finds_the_same_to_the_bit(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    first, second = Counts(names=names), Counts(names=names)
    found = Kept(first, tmp_path / "features", "cpu")(IMAGES)
    again = Kept(second, tmp_path / "features", "cpu")(IMAGES)
    assert (first.asked, second.asked) == (1, 0)
    assert same(found, again)
    assert same(found, Counts(names=names)(IMAGES))
    assert again.values.dtype == torch.float64


@pytest.mark.parametrize(
    ("sha256", "images", "device"),
    [
        ("cd", IMAGES, "cpu"),
        ("ab", IMAGES.flip(0), "cpu"),
        ("ab", IMAGES.reshape(5, 1, 2, 8), "cpu"),
        ("ab", IMAGES, "cuda"),
    ],
    ids=["other weights", "other order", "other shape", "other device"],
)
def test_anything_else_is_looked_at_anew(
    tmp_path: Path, sha256: str, images: Tensor, device: str
) -> None:
    Kept(Counts(), tmp_path, "cpu")(IMAGES)
    other = Counts(sha256)
    found = Kept(other, tmp_path, device)(images)
    assert other.asked == 1
    assert same(found, Counts()(images))


class Means(Counts):
    """One feature an image."""

    def __call__(self, pixels: Tensor) -> Features:
        return Features(pixels.flatten(1).double().mean(dim=1, keepdim=True))


def test_images_are_not_copied_to_know_them_again(tmp_path: Path) -> None:
    images = torch.zeros(400, 3, 64, 64, dtype=torch.uint8)
    tracemalloc.start()  # of Python and NumPy; torch's own is not counted
    try:
        Kept(Means(), tmp_path, "cpu")(images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 2


@pytest.mark.parametrize("length", [0, 10, 500])
def test_a_damaged_file_is_made_anew(tmp_path: Path, length: int) -> None:
    Kept(Counts(), tmp_path, "cpu")(IMAGES)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    again = Counts()
    assert same(Kept(again, tmp_path, "cpu")(IMAGES), Counts()(IMAGES))
    assert again.asked == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    Kept(Counts(), tmp_path, "cpu")(IMAGES)
    [path] = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 1
    path.write_bytes(raw)
    assert same(Kept(Counts(), tmp_path, "cpu")(IMAGES), Counts()(IMAGES))
