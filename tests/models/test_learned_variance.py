"""Networks that tell the variance too: written, read, sampled, counted, and served without it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.bits_per_dim import likelihood
from models.bound import Bound
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusion import log_variance
from models.evaluation.drawing import Drawing, Recipe
from models.fine_tuning import begin_with
from models.likelihood import bits_per_dim
from models.pixels import to_uint8
from models.plan import ddim_plan, ddpm_plan
from models.sample import sample, sample_batch
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from tests.models.folders import CONFIG, SCHEDULER, edit, refusal
from tests.models.runs import pictures_of, tiny_run, trained, trainer_of
from tests.models.tiny import tiny_config, tiny_net

SHAPE = (1, 8, 8)
SCHEDULE = linear_schedule(20, start=0.005, end=0.3)


@pytest.fixture
def both(tmp_path: Path) -> Checkpoint:
    """A network that tells variances: random weights, variances of all sizes."""
    save_checkpoint(
        tmp_path / "both",
        tiny_config(out_channels=2),
        tiny_net(out_channels=2).state_dict(),
        SCHEDULE,
        variance="learned_range",
    )
    return load_checkpoint(tmp_path / "both")


def test_v_goes_from_the_least_to_the_most() -> None:
    log_range = torch.tensor([[-4.0, -1.0]]).expand(3, -1)
    v = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    assert log_variance(v, log_range).flatten().tolist() == [-4.0, -2.5, -1.0]


@pytest.mark.parametrize(
    ("v", "variance", "steps"),
    [(-1.0, "fixed_small", 20), (-1.0, "fixed_small", 1), (1.0, "fixed_large", 20)],
)
def test_at_its_ends_a_learned_variance_is_a_fixed_one(v: float, variance: Any, steps: int) -> None:
    net = tiny_net()
    fixed = ddpm_plan(SCHEDULE, steps, variance=variance)
    learned = ddpm_plan(SCHEDULE, steps, variance="learned_range")

    def says_v(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.cat([net(x_t, t), torch.full_like(x_t, v)], dim=1)

    one = sample(net, fixed, SHAPE, seed=3, index=5)
    other = sample(says_v, learned, SHAPE, seed=3, index=5)
    assert torch.allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("v", "variance"), [(-1.0, "fixed_small"), (1.0, "fixed_large")])
def test_so_is_its_bound(garments: Tensor, v: float, variance: Any) -> None:
    net = tiny_net()
    fixed = bits_per_dim(net, Bound(SCHEDULE, variance=variance), garments[:6])
    learned = bits_per_dim(
        lambda x_t, t: torch.cat([net(x_t, t), torch.full_like(x_t, v)], dim=1),
        Bound(SCHEDULE, variance="learned_range"),
        garments[:6],
    )
    if variance == "fixed_small":
        assert learned.total == pytest.approx(fixed.total, rel=1e-9)
    # at t = 0 fixed_large has the variance of fixed_small at t = 1, as the paper's code does
    rest = [found.total - found.decoder for found in (fixed, learned)]
    assert rest[0] == pytest.approx(rest[1], rel=1e-9)


def test_who_does_not_know_x_0_is_better_off_with_more_variance(garments: Tensor) -> None:
    net, totals = tiny_net(), []
    for v in (-1.0, 1.0):
        totals.append(
            bits_per_dim(
                lambda x_t, t, v=v: torch.cat([0.9 * net(x_t, t), torch.full_like(x_t, v)], dim=1),
                Bound(SCHEDULE, variance="learned_range"),
                garments[:6],
            ).total
        )
    assert totals[1] < totals[0]


def test_a_checkpoint_says_so_itself(both: Checkpoint) -> None:
    assert both.defaults.variance == "learned_range"
    assert both.defaults.fixed_variance == "fixed_small"
    assert both.net.config.out_channels == 2
    assert both.net.config.image_shape == SHAPE


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (SCHEDULER, {"variance_type": "fixed_small"}, "out_channels: 2; fixed_small needs 1"),
        (CONFIG, {"out_channels": 1}, "out_channels: 1; learned_range needs 2"),
        (CONFIG, {"out_channels": 3}, "out_channels: 3; learned_range needs 2"),
    ],
    ids=str,
)
def test_a_variance_and_a_network_that_do_not_go_together_are_refused(
    both: Checkpoint, tmp_path: Path, path: Path, change: dict[str, Any], message: str
) -> None:
    edit(tmp_path / "both" / path, **change)
    assert refusal(tmp_path / "both") == f"{tmp_path / 'both' / CONFIG}: {message}"


@torch.no_grad()
def test_ready_to_sample_it_says_eps_alone_unless_asked(both: Checkpoint) -> None:
    x, t = torch.randn(3, *SHAPE), torch.tensor([0, 7, 19])
    whole = both.net(x, t)
    eps = SamplingNet(both.net, 20, device="cpu")(x, t)
    out = SamplingNet(both.net, 20, device="cpu", learned=True)(x, t)
    assert eps.shape == (3, *SHAPE)
    assert torch.allclose(eps, whole[:, :1], atol=1e-5)
    assert torch.allclose(out, whole, atol=1e-5)
    assert both.net.conv_out.weight.shape[0] == 2, "the checkpoint's own is left as it is"


@pytest.mark.parametrize("steps", [20, 5])
def test_ancestral_images_are_drawn_with_it_and_others_without(
    both: Checkpoint, tmp_path: Path, steps: int
) -> None:
    ddpm = Drawing(tmp_path / "ddpm", both, Recipe("ddpm", steps)).images(3, batch=3, device="cpu")
    plan = ddpm_plan(SCHEDULE, steps, variance="learned_range")
    expected = to_uint8(sample_batch(both.net, plan, SHAPE, seed=0, indices=[0, 1, 2]))
    assert (ddpm.int() - expected.int()).abs().max() <= 1
    ddim = Drawing(tmp_path / "ddim", both, Recipe("ddim", steps)).images(3, batch=3, device="cpu")
    calm = sample_batch(
        lambda x, t: both.net(x, t)[:, :1],
        ddim_plan(SCHEDULE, steps),
        SHAPE,
        seed=0,
        indices=[0, 1, 2],
    )
    assert (ddim.int() - to_uint8(calm).int()).abs().max() <= 1


def test_its_bits_are_counted_with_it(both: Checkpoint, garments: Tensor) -> None:
    found = likelihood(both, garments[:4])
    expected = bits_per_dim(both.net, Bound(SCHEDULE, variance="learned_range"), garments[:4])
    assert found.total == pytest.approx(expected.total, rel=1e-4)


def test_a_run_trains_it_and_exports_it(garments: Tensor, tmp_path: Path) -> None:
    trained(tmp_path, garments, tiny_run(variance="learned_range", loss="hybrid"))
    read = load_checkpoint(tmp_path / "checkpoint")
    assert (read.defaults.variance, read.net.config.out_channels) == ("learned_range", 2)
    assert pictures_of(tmp_path) == ["000000096"]


@torch.no_grad()
def test_a_run_may_begin_with_a_network_that_tells_none(folder: Path) -> None:
    edit(folder / SCHEDULER, num_train_timesteps=4)
    start = load_checkpoint(folder)
    trainer = trainer_of(tiny_run(variance="learned_range", loss="hybrid"))
    begin_with(trainer, start)
    x, t = torch.randn(4, *SHAPE), torch.tensor([0, 1, 2, 3])
    out = trainer.net(x, t)
    assert torch.allclose(out[:, :1], start.net(x, t), atol=1e-6)
    assert not out[:, 1:].any(), "midway between both fixed variances"
