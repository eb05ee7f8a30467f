"""Rows that start from images: the first states the engine is given, and what it makes of them."""

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor

from models.diffusion import Denoiser
from models.from_images import interpolations, variations
from models.pixels import from_uint8, to_uint8
from models.plan import Plan, ddpm_plan
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.unet import UNet
from protocol.messages import JobRequest, SourceImage
from tests.conftest import TINY
from tests.jobs import request
from worker.engine import Engine
from worker.row import Pixels, Ticket
from worker.runner import TorchRunner
from worker.starts import starts

SHAPE = (1, 8, 8)
PIXELS_A, PIXELS_B = bytes(range(0, 256, 4)), bytes(range(255, 0, -4))
PIXELS = {"image": PIXELS_A, "image_a": PIXELS_A, "image_b": PIXELS_B}
WIDTH = 16


@pytest.fixture(scope="module")
def net() -> SamplingNet:
    torch.manual_seed(0)
    return SamplingNet(UNet(TINY).eval(), 1000, device="cpu")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return ddpm_plan(linear_schedule(), 12, spacing="trailing", start_t=400)


def asked(task: str, **changes: Any) -> JobRequest:
    named = {"variations": ["image"], "interpolate": ["image_a", "image_b"]}[task]
    sources = {
        name: SourceImage(pixels_sha256=hashlib.sha256(PIXELS[name]).hexdigest()) for name in named
    }
    return request(task=task, t=400, **sources, **changes)


def x_0(pixels: bytes) -> Tensor:
    return from_uint8(torch.tensor(list(pixels), dtype=torch.uint8).reshape(SHAPE))


def widened(net: SamplingNet) -> Denoiser:
    """At the engine's only size: fewer rows may round differently."""
    return lambda x, t: net(
        torch.cat([x, x[:1].expand(WIDTH - len(x), -1, -1, -1)]),
        torch.cat([t, t[:1].expand(WIDTH - len(t))]),
    )[: len(x)]


def drawn(net: SamplingNet, plan: Plan, wanted: JobRequest, indices: list[int]) -> dict[int, Any]:
    """By the engine."""
    images: dict[int, Pixels] = {}
    ticket = Ticket(
        job_id="job",
        tenant="",
        urgency=1,
        plan=plan,
        steps=plan.steps,
        seed=wanted.seed,
        indices=tuple(indices),
        deliver=images.__setitem__,
        starts=starts(wanted, PIXELS, plan, SHAPE, indices),
    )
    engine = Engine(
        TorchRunner(net, device="cpu", slots=32, sizes=(WIDTH,)),
        on_fault=lambda: pytest.fail("the engine faulted"),
    )
    engine.submit(ticket)
    for _ in range(plan.steps):
        engine.step()
    return {index: torch.from_numpy(image).permute(2, 0, 1) for index, image in images.items()}


def test_variations_are_those_of_the_slow_function(net: SamplingNet, plan: Plan) -> None:
    indices = [3, 4, 9]
    found = drawn(net, plan, asked("variations"), indices)
    expected = variations(widened(net), plan, x_0(PIXELS_A), seed=42, indices=indices)
    for image, index in zip(to_uint8(expected), indices, strict=True):
        assert torch.equal(found[index], image), index
    assert not torch.equal(found[3], found[4])


def test_an_interpolation_is_that_of_the_slow_function(net: SamplingNet, plan: Plan) -> None:
    lambdas = (0.0, 0.3, 0.5, 1.0)
    wanted = asked("interpolate", lambdas=lambdas)
    found = drawn(net, plan, wanted, [0, 1, 2, 3])
    expected = interpolations(
        widened(net),
        plan,
        x_0(PIXELS_A),
        x_0(PIXELS_B),
        seed=42,
        lambdas=torch.tensor(lambdas),
    )
    for index, image in enumerate(to_uint8(expected)):
        assert torch.equal(found[index], image), index


def test_an_image_does_not_tell_which_others_its_shard_still_needs(
    net: SamplingNet, plan: Plan
) -> None:
    """A shard that is run again starts only what was not finished."""
    wanted = asked("interpolate", n=5)
    assert torch.equal(
        drawn(net, plan, wanted, [0, 1, 2, 3, 4])[3], drawn(net, plan, wanted, [3])[3]
    )
    assert starts(wanted, PIXELS, plan, SHAPE, []) == {}


def test_a_job_that_samples_has_none(plan: Plan) -> None:
    assert starts(request(), {}, plan, SHAPE, [0, 1]) == {}


@pytest.mark.parametrize("found", [{}, {"image": PIXELS_B}, {"image": b""}, {"image_a": PIXELS_A}])
def test_pixels_that_are_not_those_recorded_are_refused(
    plan: Plan, found: dict[str, bytes]
) -> None:
    with pytest.raises(ValueError, match="image"):
        starts(asked("variations"), found, plan, SHAPE, [0])


def test_pixels_of_another_models_size_are_refused(plan: Plan) -> None:
    with pytest.raises(ValueError, match="64 values, the model's images 256"):
        starts(asked("variations"), PIXELS, plan, (1, 16, 16), [0])
