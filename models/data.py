"""Training images as one uint8 tensor (N, C, H, W), from IDX files, an image folder or .npz.

Their labels, where there are any, as one int64 tensor (N,).
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from models.image_file import Pixels
from models.image_folder import DataError as DataError  # what all of this raises
from models.image_folder import (
    expect_class_folders,
    has_class_folders,
    read_folder,
    read_labelled_folder,
)

IDX_UINT8 = 0x08


def load_images(source: Path, *, split: str = "train") -> Tensor:
    """Read `source`: an .npz file, an IDX file, a folder of IDX files, or a folder of images.

    A folder of IDX files is searched for `{split}-images-idx3-ubyte[.gz]` (MNIST's names). A folder
    of images is grey where all its files are, else RGB; `image_file` says how each kind is read.
    Returns uint8 (N, C, H, W). Raises DataError with a message that names the file.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.suffix == ".npz":
        return _from_npz(source)
    if source.is_file():
        return _as_nchw(read_idx(source), source)
    if idx := _images_of(source, split):
        return _as_nchw(read_idx(idx), idx)
    return read_folder(source)[0]


def load_labels(source: Path, *, split: str = "train") -> Tensor:
    """The class of each image of `load_images`, int64 (N,), 0 the first.

    The array named `labels` of an .npz file, or `{split}-labels-idx1-ubyte[.gz]` of a folder of IDX
    files; of a folder of images, the sub-folder that each lies in, sorted by name. Which images can
    be read, only reading tells: `load_labelled` does it once for both. Raises DataError.
    """
    if source.suffix == ".npz":
        with _opened(source) as archive:
            if "labels" not in archive.files:
                raise DataError(f"{source}: has no array named labels")
            return _as_labels(archive["labels"], source)
    if idx := _idx_file(source, f"{split}-labels-idx1-ubyte"):
        return _as_labels(read_idx(idx), idx)
    if _has_class_folders(source, split):
        return read_labelled_folder(source)[1]
    raise DataError(
        f"{source}: has no labels; an .npz file, a folder of IDX files or one of a sub-folder for "
        "each class can have them"
    )


def load_labelled(source: Path, *, split: str = "train", classes: int) -> tuple[Tensor, Tensor]:
    """`load_images` and `labels_of`, of folders of images in one reading. Raises DataError."""
    if _has_class_folders(source, split):
        expect_class_folders(source, classes)
        return read_labelled_folder(source)
    images = load_images(source, split=split)
    return images, labels_of(source, split=split, images=len(images), classes=classes)


def labels_of(source: Path, *, split: str = "train", images: int, classes: int) -> Tensor:
    """`load_labels` of so many images of so many classes. Raises DataError for any others."""
    if _has_class_folders(source, split):
        expect_class_folders(source, classes)
    labels = load_labels(source, split=split)
    if len(labels) != images:
        raise DataError(f"{source}: {len(labels)} labels for {images} images")
    if labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} ... {labels.max()}"
        raise DataError(f"{source}: labels are {found}, not {classes} kinds")
    return labels


def digest_of(images: Tensor, labels: Tensor | None = None) -> str:
    """sha256 of what is trained on: shape, pixels, classes; the same wherever it was read from."""
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for read in (images, labels):
        if read is not None:
            digest.update(read.contiguous().numpy().data)
    return digest.hexdigest()


def has_split(source: Path, split: str) -> bool:
    """Whether it is a folder of IDX files with images of that split; all else is read whole."""
    return _images_of(source, split) is not None


def held_out(data: Path, test: Path | None = None) -> tuple[Path, str]:
    """Where images are that were not trained on, and their split: `test`, or the other split of a
    folder of IDX files. Raises DataError where there is none.
    """
    if test is None and not has_split(data, "t10k"):
        raise DataError(f"{data}: has no test split; name held-out images with --test")
    return test or data, "train" if test else "t10k"


def read_idx(path: Path) -> Pixels:
    """An IDX file of unsigned bytes (the MNIST format), gzipped or not."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a readable gzip file: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != IDX_UINT8:
        raise DataError(f"{path}: not an IDX file of unsigned bytes")
    ndim = raw[3]
    if len(raw) < 4 + 4 * ndim:
        raise DataError(f"{path}: ends within its header")
    shape = tuple(np.frombuffer(raw, ">u4", count=ndim, offset=4).astype(int))
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim)
    if body.size != np.prod(shape):
        raise DataError(f"{path}: holds {body.size} bytes, its header promises {shape}")
    return body.reshape(shape)


def batches(images: Tensor, *, batch: int, start: int, seed: int) -> Iterator[Tensor]:
    """Endless shuffled batches, each epoch in its own order; `start` counts batches already seen.

    A pure function of (seed, start): a resumed run sees what the killed one would have seen, and
    labels come in the order of their images.
    """
    per_epoch = len(images) // batch
    if per_epoch == 0:
        raise DataError(f"{len(images)} images do not fill one batch of {batch}")
    epoch, offset = divmod(start, per_epoch)
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for i in range(offset, per_epoch):
            yield images[order[i * batch : (i + 1) * batch]]
        epoch, offset = epoch + 1, 0


def _from_npz(path: Path) -> Tensor:
    """The array named `images`, or the only one there is."""
    with _opened(path) as archive:
        name = "images" if "images" in archive.files else archive.files[0]
        return _as_nchw(archive[name], path)


@contextmanager
def _opened(path: Path) -> "Iterator[np.lib.npyio.NpzFile[Any]]":
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file) as archive:
            yield archive
    except DataError:
        raise
    except (OSError, ValueError, IndexError, BadZipFile) as error:
        raise DataError(f"{path}: not an .npz file of images: {error}") from error


def _as_labels(array: np.ndarray[tuple[int, ...], np.dtype[Any]], source: Path) -> Tensor:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{source}: expected labels (N,), got {array.dtype} {array.shape}")
    return torch.from_numpy(array.astype(np.int64))


def _idx_file(folder: Path, name: str) -> Path | None:
    gzipped = folder / f"{name}.gz"
    return next((path for path in (gzipped, folder / name) if path.exists()), None)


def _images_of(folder: Path, split: str) -> Path | None:
    return _idx_file(folder, f"{split}-images-idx3-ubyte")


def _has_class_folders(source: Path, split: str) -> bool:
    return has_class_folders(source) and not has_split(source, split)


def _as_nchw(array: Pixels, source: Path) -> Tensor:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise DataError(f"{source}: expected uint8 images, got {array.dtype} {array.shape}")
    if array.ndim == 3:  # (N, H, W)
        array = array[:, None]
    elif array.shape[-1] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # copied only if it must be
