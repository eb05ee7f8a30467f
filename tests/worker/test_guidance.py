"""Rows of a network with classes: each its own label and guidance, whoever else is in the step."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.diffusion import per_row
from models.pixels import to_uint8
from models.plan import ddim_plan, ddpm_plan
from models.sample import sample_batch
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.unet import UNet
from tests.models.tiny import tiny_config
from worker.chunks import agreeing_sizes
from worker.engine import Engine
from worker.row import Pixels, Ticket
from worker.runner import TorchRunner

SCHEDULE = linear_schedule()
DDIM, DDPM = ddim_plan(SCHEDULE, 6), ddpm_plan(SCHEDULE, 8)
WIDTH = 16
Wanted = tuple[int, int | None, float]  # image index, class, guidance


@pytest.fixture(scope="module")
def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(tiny_config(num_class_embeds=4)).eval()


@pytest.fixture(scope="module")
def net(unet: UNet) -> SamplingNet:
    return SamplingNet(unet, 1000, device="cpu")


@pytest.fixture(scope="module")
def sizes(net: SamplingNet) -> tuple[int, ...]:
    return agreeing_sizes(net, DDPM, device="cpu", chunk=WIDTH)


def drawn(net: SamplingNet, sizes: tuple[int, ...], wanted: list[Wanted]) -> dict[int, Pixels]:
    """All of them in one batch, each a job of its own; odd ones are sampled by DDPM."""
    engine = Engine(
        TorchRunner(net, device="cpu", slots=32, sizes=sizes),
        on_fault=lambda: pytest.fail("the engine faulted"),
    )
    images: dict[int, Pixels] = {}
    for index, number, guidance in wanted:
        plan = DDPM if index % 2 else DDIM
        engine.submit(
            Ticket(
                job_id=f"job-{index}",
                tenant="",
                urgency=1,
                plan=plan,
                steps=plan.steps,
                seed=3,
                indices=(index,),
                deliver=images.__setitem__,
                classes={} if number is None else {index: number},
                guidance=guidance,
            )
        )
    for _ in range(2 * DDPM.steps * len(wanted)):
        engine.step()
    assert len(images) == len(wanted)
    return images


def test_what_is_served_is_the_networks_own(unet: UNet, net: SamplingNet) -> None:
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    t, y = torch.tensor([0, 500, 999]), torch.tensor([3, 0, 2])
    with torch.no_grad():
        assert torch.allclose(net(x, t, y), unet(x, t, y), rtol=0, atol=1e-5)
        none = unet(x, t, torch.full_like(y, 3))
    assert torch.allclose(net(x, t), none, rtol=0, atol=1e-5), "the last class is none"


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_a_guided_image_is_that_of_the_formula(net: SamplingNet, guidance: float) -> None:
    def guided(x: Tensor, t: Tensor) -> Tensor:
        x, t = x.expand(WIDTH, -1, -1, -1), t.expand(WIDTH)
        none, one = net(x, t, torch.full_like(t, 3)), net(x, t, torch.full_like(t, 1))
        weight = per_row(torch.full((WIDTH,), guidance))
        return (one if guidance == 1.0 else none + weight * (one - none))[:1]

    (pixels,) = drawn(net, (WIDTH,), [(5, 1, guidance)]).values()
    expected = to_uint8(sample_batch(guided, DDPM, (1, 8, 8), seed=3, indices=[5]))
    assert np.array_equal(pixels, expected[0].permute(1, 2, 0).numpy())


def test_label_and_guidance_both_matter(net: SamplingNet, sizes: tuple[int, ...]) -> None:
    kinds: list[tuple[int | None, float]] = [(0, 1.0), (1, 1.0), (1, 3.0), (None, 1.0)]
    images = [drawn(net, sizes, [(7, *kind)])[7].tobytes() for kind in kinds]
    assert len(set(images)) == 4
    assert drawn(net, sizes, [(7, None, 3.0)])[7].tobytes() == images[3], "towards nothing"


def test_no_image_tells_whose_neighbour_was_guided(
    net: SamplingNet, sizes: tuple[int, ...]
) -> None:
    wanted: list[Wanted] = [
        (0, None, 1.0),
        (1, 2, 1.0),
        (2, 0, 4.0),
        (3, 1, 0.5),
        (4, 2, 2.0),
        (5, None, 1.0),
        (6, 0, 4.0),
    ]
    together = drawn(net, sizes, wanted)
    for one in wanted:
        alone = drawn(net, sizes, [one])
        assert np.array_equal(alone[one[0]], together[one[0]]), one
