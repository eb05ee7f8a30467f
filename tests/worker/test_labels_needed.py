"""A network of others that has a class for every embedding: served by class, or not at all."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from redis import Redis

from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet
from protocol.job_store import Begun, JobStore
from tests.conftest import TINY
from tests.jobs import request
from worker.resident import ResidentModel, load_resident
from worker.settings import WorkerSettings
from worker.tickets import ticket_of

KINDS = ("cat", "dog", "emu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ResidentModel:
    """In a precision that is compared with float32 before anything is served."""
    folder, config = tmp_path_factory.mktemp("models"), replace(TINY, num_class_embeds=3)
    torch.manual_seed(0)
    weights = UNet(config).state_dict()
    card = {"labels": list(KINDS)}
    save_checkpoint(folder / "tiny", config, weights, linear_schedule(), card=card)
    return load_resident(
        WorkerSettings(
            redis_url="redis://unused",
            data_dir=folder,
            model=folder / "tiny",
            device="cpu",
            threads=1,
            precision="bfloat16",
        )
    )


def begun(**changes: Any) -> Begun:
    return Begun("job", 0, "1", "", request(n=1, **changes))


def test_every_class_can_be_asked_for(model: ResidentModel, redis: Redis) -> None:
    told = model.info()
    assert (told.labels, told.labels_needed) == (KINDS, True)
    held = begun(labels=("emu",), guidance=1.0)
    ticket = ticket_of(held, model, JobStore(redis), lambda *_: None)
    assert ticket.classes == {0: 2}


@pytest.mark.parametrize("asked", [{}, {"labels": ("emu",), "guidance": 2.0}], ids=str)
def test_what_needs_a_class_for_none_is_not_drawn(
    model: ResidentModel, redis: Redis, asked: dict[str, Any]
) -> None:
    """By whichever front end it was let through."""
    with pytest.raises(ValueError, match='labels: tiny has no class for "none"'):
        ticket_of(begun(**asked), model, JobStore(redis), lambda *_: None)
