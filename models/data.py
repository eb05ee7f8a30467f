"""Training images as one uint8 tensor (N, C, H, W), from IDX files, an image folder or .npz.

Their labels, where there are any, as one int64 tensor (N,).
"""

import gzip
import hashlib
import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from models.image_file import SUFFIXES, Header, Pixels, UnreadableImage, read_header, read_into

log = logging.getLogger(__name__)
IDX_UINT8 = 0x08
ODD_NAMED = 3  # files of another size than most that an error names


class DataError(ValueError):
    """What was given cannot be read as training images; the message says what and where."""


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
    for name in (f"{split}-images-idx3-ubyte.gz", f"{split}-images-idx3-ubyte"):
        if (source / name).exists():
            return _as_nchw(read_idx(source / name), source / name)
    return _from_folder(source)


def load_labels(source: Path, *, split: str = "train") -> Tensor:
    """The class of each image of `load_images`, int64 (N,), 0 the first.

    The array named `labels` of an .npz file, or `{split}-labels-idx1-ubyte[.gz]` of a folder of IDX
    files. Raises DataError.
    """
    if source.suffix == ".npz":
        with _opened(source) as archive:
            if "labels" not in archive.files:
                raise DataError(f"{source}: has no array named labels")
            return _as_labels(archive["labels"], source)
    for name in (f"{split}-labels-idx1-ubyte.gz", f"{split}-labels-idx1-ubyte"):
        if (source / name).exists():
            return _as_labels(read_idx(source / name), source / name)
    raise DataError(f"{source}: has no labels; an .npz file or a folder of IDX files can have them")


def labels_of(source: Path, *, split: str = "train", images: int, classes: int) -> Tensor:
    """`load_labels` of so many images of so many classes. Raises DataError for any others."""
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


def held_out(data: Path, test: Path | None = None) -> tuple[Path, str]:
    """Where images are that were not trained on, and their split: `test`, or the other split of a
    folder of IDX files. Raises DataError where there is none.
    """
    if test is None and not list(data.glob("t10k-images-idx3-ubyte*")):
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


def _from_folder(folder: Path) -> Tensor:
    """Headers first, then each image's pixels into their place: memory holds them once."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    headers = _headers(paths)
    _refuse_several_sizes(folder, headers)
    if not headers or not len(images := _pixels(headers)):
        raise DataError(f"{folder}: no images that can be read, no IDX files")
    if len(images) < len(paths):
        log.warning("%s: %d of %d images skipped", folder, len(paths) - len(images), len(paths))
    return torch.from_numpy(images)


def _headers(paths: list[Path]) -> dict[Path, Header]:
    headers = {}
    for path in paths:
        with _skipped_if_broken(path):
            headers[path] = read_header(path)
    return headers


def _refuse_several_sizes(folder: Path, headers: dict[Path, Header]) -> None:
    """Raises DataError, which names the first files that are not of the most frequent size."""
    sizes = Counter(header.size for header in headers.values())
    if len(sizes) < 2:
        return
    usual, count = sizes.most_common(1)[0]
    odd = [(path, header.size) for path, header in headers.items() if header.size != usual]
    named = ", ".join(f"{path.relative_to(folder)} ({_by(size)})" for path, size in odd[:ODD_NAMED])
    more = f" and {len(odd) - ODD_NAMED} more" if len(odd) > ODD_NAMED else ""
    raise DataError(
        f"{folder}: images of several sizes: {count} of {len(headers)} are {_by(usual)}"
        f" (width x height), but not {named}{more}; resize or remove those"
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _pixels(headers: dict[Path, Header]) -> Pixels:
    """Of files of one size: (N, 1, H, W) where all are grey, else (N, 3, H, W)."""
    channels = 1 if all(header.is_grey for header in headers.values()) else 3
    width, height = next(iter(headers.values())).size
    images = np.empty((len(headers), channels, height, width), np.uint8)
    read: list[Header] = []
    for path, header in headers.items():
        with _skipped_if_broken(path):
            read_into(images[len(read)], path)
            read.append(header)
    if channels == 3 and all(header.is_grey for header in read):  # the coloured ones were broken
        return np.ascontiguousarray(images[: len(read), :1])
    return images[: len(read)]


@contextmanager
def _skipped_if_broken(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableImage as error:
        log.warning("%s: skipped, not a readable image: %s", path, error)


def _as_nchw(array: Pixels, source: Path) -> Tensor:
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise DataError(f"{source}: expected uint8 images, got {array.dtype} {array.shape}")
    if array.ndim == 3:  # (N, H, W)
        array = array[:, None]
    elif array.shape[-1] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # copied only if it must be
