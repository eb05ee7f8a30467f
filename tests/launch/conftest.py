"""A short folder: a socket's path may have some 100 bytes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def redis_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="denoised-") as folder:
        yield Path(folder)
