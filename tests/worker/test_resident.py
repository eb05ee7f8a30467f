"""From what a job asks for to the table that is run."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from redis import Redis

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusers_config import CheckpointError
from models.diffusers_scheduler import SamplingDefaults
from models.pixels import to_uint8
from models.plan import Plan, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.sample import sample
from models.schedule import linear_schedule
from models.unet import UNet
from protocol.messages import MODEL_NAME_PATTERN, SamplerSpec
from protocol.registry import Registry
from tests.conftest import TINY, RedisServer
from worker.fingerprint import resolve
from worker.resident import ResidentModel, load_resident, model_name
from worker.row import Ticket
from worker.settings import WorkerSettings

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


def test_a_network_that_tells_variances_is_served_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(TINY, out_channels=2)
    weights = UNet(config).state_dict()
    save_checkpoint(tmp_path / "both", config, weights, SCHEDULE, variance="learned_range")
    monkeypatch.setenv("REDIS_URL", "redis://unused")
    settings = WorkerSettings(
        data_dir=tmp_path, model=tmp_path / "both", device="cpu", threads=1, precision="float32"
    )
    model = load_resident(settings)
    assert "both: its variances are not served; ddpm draws with fixed_small" in caplog.text
    ddpm = next(sampler for sampler in model.info().samplers if sampler.name == "ddpm")
    assert ddpm.variance == "fixed_small"
    plan = model.plan(SamplerSpec(name="ddpm", steps=3))
    [row] = Ticket.for_nobody(plan, seed=5, indices=range(1)).rows()
    model.runner.admit(row)
    for _ in range(3):
        model.runner.step([row])
    [image] = model.runner.collect([row])
    alone = sample(
        lambda x, t: model.checkpoint.net(x, t)[:, :1], plan, model.shape, seed=5, index=0
    )
    off = torch.as_tensor(image).int()[..., 0] - to_uint8(alone).int()[0]
    assert off.abs().max() <= 1


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/srv/tiny", "tiny"),
        ("someone/tiny", "tiny"),
        ("someone/tiny@main", "tiny"),
        ("someone/tiny@refs/pr/1", "tiny"),
        ("google/DDPM-Church", "ddpm-church"),
        ("/srv/Checkpoint", "checkpoint"),
        ("/srv/My first model (2)", "my-first-model-2-"),
        ("/srv/fl\u00e4che", "fl-che"),
        ("/srv/_tiny@v2", "tiny-v2"),
        ("/me@home/tiny_1.0", "tiny_1.0"),
        ("/srv/" + 64 * "x", 64 * "x"),
    ],
)
def test_a_model_is_called_as_its_folder_or_the_last_part_of_its_id(model: str, name: str) -> None:
    assert model_name(Path(model)) == name
    assert re.fullmatch(MODEL_NAME_PATTERN, name)


@pytest.mark.parametrize(
    "model", ["/srv/\u6a21\u578b", "/srv/..._", "/srv/" + 65 * "x", 256 * "x", "/"]
)
def test_a_name_that_no_model_can_have_is_refused_in_a_line_before_anything_is_loaded(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://unused")
    settings = WorkerSettings(data_dir=tmp_path, model=Path(model), device="cpu")
    with pytest.raises(CheckpointError, match="makes no model's name of 1 to 64") as refused:
        load_resident(settings)  # and not "missing", of a folder that is not there
    assert "\n" not in str(refused.value)


def test_a_worker_of_no_name_leaves_with_2_whether_or_not_there_is_a_redis_to_tell(
    redis_server: RedisServer, redis: Redis
) -> None:
    for url in (redis_server.url, "redis://127.0.0.1:1"):
        environment = {"REDIS_URL": url, "WORKER_MODEL": "/srv/\u6a21\u578b"}
        left = subprocess.run(
            [sys.executable, "-m", "worker"],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert left.returncode == 2, left.stderr
        assert "makes no model's name" in left.stderr
        assert "Traceback" not in left.stderr
    fault = Registry(redis).start_fault()
    assert fault is not None
    assert fault.startswith("/srv/\u6a21\u578b: ")


def test_a_folder_with_an_at_sign_is_called_by_all_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "Tiny@2").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert model_name(Path("mine/Tiny@2")) == "tiny-2"
