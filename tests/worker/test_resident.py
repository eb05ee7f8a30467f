"""From what a job asks for to the table that is run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoint import Checkpoint, load_checkpoint
from models.diffusers_config import SamplingDefaults
from models.plan import Plan, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.schedule import linear_schedule
from protocol.messages import SamplerSpec
from worker.fingerprint import resolve
from worker.resident import ResidentModel, model_name

SCHEDULE = linear_schedule()
ASKED: list[tuple[dict[str, Any], Plan]] = [
    (
        {"name": "ddpm", "steps": 1000, "variance": "fixed_large", "clip": 1.0},
        ddpm_plan(SCHEDULE, 1000, variance="fixed_large"),
    ),
    (
        {"name": "ddpm", "steps": 7, "spacing": "quadratic"},
        ddpm_plan(SCHEDULE, 7, spacing="quadratic", clip=None),
    ),
    (
        {"name": "ddim", "steps": 9, "eta": 0.5, "clip": 0.8, "spacing": "trailing"},
        ddim_plan(SCHEDULE, 9, eta=0.5, clip=0.8, spacing="trailing", set_alpha_to_one=False),
    ),
    ({"name": "ddim", "steps": 9}, ddim_plan(SCHEDULE, 9, clip=None, set_alpha_to_one=False)),
    (
        {"name": "dpmpp-2m", "steps": 6, "spacing": "leading", "clip": 1.0},
        dpmpp_2m_plan(SCHEDULE, 6, spacing="leading", clip=1.0),
    ),
    ({"name": "dpmpp-2m", "steps": 6, "spacing": "linspace"}, dpmpp_2m_plan(SCHEDULE, 6)),
]


@pytest.fixture(scope="module")
def checkpoint(tiny_model: Path) -> Checkpoint:
    defaults = SamplingDefaults("fixed_large", 1.0, steps_offset=0, set_alpha_to_one=False)
    return replace(load_checkpoint(tiny_model), defaults=defaults)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> ResidentModel:
    numerics = resolve(
        device="cpu", threads=1, precision="float32", mode="eager", chunk=4, pixels=64
    )
    unused: Any = None  # the runner: a plan is made without one
    return ResidentModel("tiny", checkpoint, numerics, unused)


@pytest.mark.parametrize(("asked", "plan"), ASKED, ids=str)
def test_what_is_asked_for_becomes_its_plan(
    model: ResidentModel, asked: dict[str, Any], plan: Plan
) -> None:
    assert np.array_equal(model.plan(SamplerSpec(**asked)).table, plan.table)


def test_a_plan_is_made_once(model: ResidentModel) -> None:
    spec = SamplerSpec(name="ddim", steps=5)
    assert model.plan(spec) is model.plan(SamplerSpec(name="ddim", steps=5))
    assert model.plan(spec) is not model.plan(SamplerSpec(name="ddim", steps=6))


def test_every_sampler_on_offer_can_be_planned_as_offered(model: ResidentModel) -> None:
    offered = model.info().samplers
    assert [(info.name, info.steps, info.spacing, info.clip) for info in offered] == [
        ("ddpm", 1000, "leading", 1.0),
        ("ddim", 50, "leading", 1.0),
        ("dpmpp-2m", 20, "linspace", None),
    ]
    for info in offered:
        spec = SamplerSpec(
            name=info.name, steps=info.steps, spacing=info.spacing, variance=info.variance
        )
        assert model.plan(spec).steps == info.steps


@pytest.mark.parametrize("named", ["models/tiny", "someone/tiny", "someone/tiny@main"])
def test_a_model_is_called_as_its_folder_or_the_last_part_of_its_id(named: str) -> None:
    assert model_name(Path(named)) == "tiny"
