"""What several files of this folder use: a few garments, a checkpoint on disk, a port's net."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.checkpoint import save_checkpoint
from models.data import load_images
from models.schedule import linear_schedule
from tests.models.ported_net import PortedNet
from tests.models.tiny import FASHION, tiny_config, tiny_net


@pytest.fixture(scope="session")
def garments() -> Tensor:
    """The middles of 512 garments, 8x8."""
    return load_images(FASHION)[:, :, 10:18, 10:18]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that we wrote."""
    save_checkpoint(
        tmp_path / "ours",
        tiny_config(),
        tiny_net().state_dict(),
        linear_schedule(),
        card={"name": "tiny", "licence": "none"},
    )
    return tmp_path / "ours"


@pytest.fixture(scope="session")
def ported() -> PortedNet:
    """A network in the layout of the paper's PyTorch ports."""
    torch.manual_seed(3)
    return PortedNet().eval()
