"""The names and shapes of the published networks, google/ddpm-*: all tensors of each."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.train_config import read_config
from models.unet import UNet
from models.weights import modern_names
from tests.models.test_weights import legacy

# Tensors; sha256 of the sorted lines "conv_in.bias 128", under today's names and under the old.
PUBLISHED = {
    "cifar10": (
        328,
        "e5d8ca4c62fc7f511a4cc0e167734d3a244ff7c79398519fc0a8eb3bf3b95489",
        "62b4f6922e59ff0c34434f6c39a12bbb0bf312a5cf35d7b63a6f55bc9a802f90",
    ),
    "celebahq-256": (
        450,
        "d7e64bc6e043010dc7949842335c1b817d275ffe36e243c134af1ac01e5e37f3",
        "91b394c765ccec75c0e4da31cc1ac2df2894b3e404b963eddb974cefcb007d19",
    ),
}


def listed(weights: Mapping[str, Tensor]) -> tuple[int, str]:
    lines = sorted(f"{name} {'x'.join(map(str, t.shape))}" for name, t in weights.items())
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_has_its_published_name_and_shape(name: str) -> None:
    count, today, old = PUBLISHED[name]
    with torch.device("meta"):
        weights = UNet(read_config(name).network).state_dict()
    assert listed(weights) == (count, today)
    written = legacy(weights, trailing=0)
    assert listed(written) == (count, old)
    assert listed(modern_names(written, Path())) == (count, today)
