"""Training images as files: bytes that are the same every time, and what is said of broken ones."""

from pathlib import Path

import numpy as np
import pytest

from models.data import DataError, load_images

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def pixels(*shape: int) -> Pixels:
    """The same bytes every time."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def refusal(source: Path) -> str:
    """The one line that `load_images` says when it must refuse."""
    with pytest.raises(DataError) as refused:
        load_images(source)
    assert "\n" not in str(refused.value)
    return str(refused.value)
