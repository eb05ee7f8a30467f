"""A folder of images, searched through; where labels are wanted, a sub-folder for each class.

Grey where all its files are, else RGB; all of one size. `image_file` says how each is read.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.image_file import SUFFIXES, Header, Pixels, UnreadableImage, read_header, read_into

log = logging.getLogger(__name__)
ODD_NAMED = 3  # files of another size than most that an error names


class DataError(ValueError):
    """What was given cannot be read as training images; the message says what and where."""


def read_folder(folder: Path) -> tuple[Tensor, list[Path]]:
    """The images, uint8 (N, C, H, W), and the files they are of; broken ones are skipped.

    Headers first, then each image's pixels into their place: memory holds them once.
    Raises DataError.
    """
    paths = _image_paths(folder)
    headers = _headers(paths)
    _refuse_several_sizes(folder, headers)
    images, read = _pixels(headers) if headers else (np.empty(0, np.uint8), [])
    if not read:
        raise DataError(f"{folder}: no images that can be read, no IDX files")
    if len(read) < len(paths):
        log.warning("%s: %d of %d images skipped", folder, len(paths) - len(read), len(paths))
    return torch.from_numpy(images), read


def read_labelled_folder(folder: Path) -> tuple[Tensor, Tensor]:
    """The images, and their classes, int64 (N,): 0 is the first sub-folder by name.

    Raises DataError, which names an image that lies in none.
    """
    numbers = {name: number for number, name in enumerate(_class_folders(folder))}
    if beside := [path.name for path in _image_paths(folder) if path.parent == folder]:
        raise DataError(f"{folder}: {beside[0]} lies in no sub-folder, which would be its class")
    images, read = read_folder(folder)
    return images, torch.tensor([numbers[path.relative_to(folder).parts[0]] for path in read])


def has_class_folders(folder: Path) -> bool:
    """Whether there are sub-folders, which can only be classes where labels are asked for."""
    return folder.is_dir() and bool(_class_folders(folder))


def expect_class_folders(folder: Path, classes: int) -> None:
    """Raises DataError unless there is a sub-folder for each, in every split.

    Without one, those after it would have other numbers.
    """
    names = _class_folders(folder)
    if len(names) != classes:
        told = ", ".join(names[:20])
        raise DataError(f"{folder}: {len(names)} sub-folders ({told}), not {classes} classes")


def _class_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _image_paths(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


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


def _pixels(headers: dict[Path, Header]) -> tuple[Pixels, list[Path]]:
    """Of files of one size, (N, 1, H, W) where all are grey, else (N, 3, H, W); and those files."""
    channels = 1 if all(header.is_grey for header in headers.values()) else 3
    width, height = next(iter(headers.values())).size
    images = np.empty((len(headers), channels, height, width), np.uint8)
    read: list[Path] = []
    for path in headers:
        with _skipped_if_broken(path):
            read_into(images[len(read)], path)
            read.append(path)
    if channels == 3 and all(headers[path].is_grey for path in read):  # the coloured were broken
        return np.ascontiguousarray(images[: len(read), :1]), read
    return images[: len(read)], read


@contextmanager
def _skipped_if_broken(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableImage as error:
        log.warning("%s: skipped, not a readable image: %s", path, error)
