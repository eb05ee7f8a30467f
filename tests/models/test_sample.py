"""The reference sampler: alone against batched, and denoisers whose answer is known."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from models.diffusion import per_row
from models.noise import Purpose, normal
from models.plan import Plan, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.sample import first_state, sample, sample_batch, step_noise
from models.schedule import linear_schedule
from tests.models.tiny import tiny_net

SCHEDULE = linear_schedule()
ALPHA_BAR = torch.from_numpy(SCHEDULE.alpha_bar).float()
PLANS = {
    "ddpm": ddpm_plan(SCHEDULE, 1000),
    "ddpm strided": ddpm_plan(SCHEDULE, 50),
    "ddim": ddim_plan(SCHEDULE, 50),
    "ddim, eta 1": ddim_plan(SCHEDULE, 50, eta=1.0),
    "ddim, the network's eps": ddim_plan(SCHEDULE, 20, rederive_eps=False),
    "ddim, quadratic": ddim_plan(SCHEDULE, 50, spacing="quadratic"),
    "dpm-solver": dpmpp_2m_plan(SCHEDULE, 20),
}
Denoiser = Callable[[Tensor, Tensor], Tensor]


def knows(x_0: Tensor) -> Denoiser:
    """The perfect network for data that is always x_0."""

    def eps(x_t: Tensor, t: Tensor) -> Tensor:
        abar = per_row(ALPHA_BAR[t])
        return (x_t - abar.sqrt() * x_0) / (1 - abar).sqrt()

    return eps


def knows_standard_normal(x_t: Tensor, t: Tensor) -> Tensor:
    """The perfect network for data that is N(0, I): E[eps | x_t]."""
    return per_row((1 - ALPHA_BAR[t]).sqrt()) * x_t


def recorded(net: Denoiser, seen: list[Tensor]) -> Denoiser:
    """The same network, which keeps its answers."""

    def eps(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(net(x_t, t))
        return seen[-1]

    return eps


@pytest.mark.parametrize("plan", [ddpm_plan(SCHEDULE, 20), ddim_plan(SCHEDULE, 10)])
def test_an_image_is_the_same_alone_and_among_others(plan: Plan) -> None:
    net, indices = tiny_net(), [5, 0, 3, 1]
    together = sample_batch(net, plan, (1, 8, 8), seed=7, indices=indices)
    for row, index in zip(together, indices, strict=True):
        alone = sample(net, plan, (1, 8, 8), seed=7, index=index)
        assert torch.allclose(row, alone, rtol=0, atol=1e-4)  # 1e-7 of eps, times r2 = 60


def test_every_index_and_every_seed_is_another_image() -> None:
    net, plan = tiny_net(), ddim_plan(SCHEDULE, 5)
    images = sample_batch(net, plan, (1, 8, 8), seed=7, indices=[0, 1])
    other = sample_batch(net, plan, (1, 8, 8), seed=8, indices=[0, 1])
    assert (images[0] - images[1]).abs().max() > 0.1
    assert (images - other).abs().amax(dim=(1, 2, 3)).min() > 0.1


@pytest.mark.parametrize("name", PLANS)
def test_a_network_that_knows_the_image_makes_it(name: str) -> None:
    x_0 = torch.linspace(-1, 1, 48).reshape(3, 4, 4)
    images = sample_batch(knows(x_0), PLANS[name], (3, 4, 4), seed=0, indices=[0, 1])
    assert torch.allclose(images, x_0.expand(2, -1, -1, -1), rtol=0, atol=1e-4)
    assert torch.allclose(
        sample(knows(x_0), PLANS[name], (3, 4, 4), seed=0, index=1), x_0, rtol=0, atol=1e-4
    )


def noise_left(plan: Plan, x_0: float = 0.5) -> Tensor:
    """(S, pixels): (x_t - sqrt(abar) x_0) / sqrt(1 - abar) at every position of a chain whose
    network knows that all images are x_0."""
    seen = list[Tensor]()
    net = recorded(knows(torch.full((1, 64, 64), x_0)), seen)
    sample_batch(net, plan, (1, 64, 64), seed=1, indices=[0])
    return torch.stack(seen).flatten(1).double()


@pytest.mark.parametrize("name", ["ddpm", "ddpm strided", "ddim, eta 1"])
def test_the_states_of_a_chain_have_the_joint_distribution_of_the_forward_process(
    name: str,
) -> None:
    """For one possible image, ancestral steps draw x_0 ... x_T from q(x_1 ... x_T | x_0) exactly:
    noise left at s < t is correlated by sqrt(snr_t / snr_s), with snr = abar / (1 - abar)."""
    eps = noise_left(PLANS[name])
    abar = torch.from_numpy(SCHEDULE.alpha_bar)[PLANS[name].column("t").astype(int)]
    snr = abar / (1 - abar)
    ratio = snr[:, None] / snr[None, :]
    expected = torch.minimum(ratio, 1 / ratio).sqrt()
    assert eps.mean(dim=1).abs().max() < 5.5 / 64  # 64 x 64 pixels
    assert (eps @ eps.T / 64**2 - expected).abs().max() < 5.5 * 2**0.5 / 64


@pytest.mark.parametrize(
    "name", ["ddim", "ddim, the network's eps", "ddim, quadratic", "dpm-solver"]
)
def test_a_deterministic_chain_keeps_the_noise_it_started_with(name: str) -> None:
    eps = noise_left(PLANS[name])
    assert (eps - eps[0]).abs().max() < 1e-3  # float32, over a noise level of 0.01 at the end
    assert float(eps[0].var()) == pytest.approx(1.0, abs=5 * 2**0.5 / 64)


def test_with_fixed_large_standard_normal_data_stays_standard_normal() -> None:
    """Section 3.2: sigma^2 = beta is optimal for x_0 ~ N(0, I)."""
    plan = ddpm_plan(SCHEDULE, 1000, variance="fixed_large", clip=None)
    x = sample_batch(knows_standard_normal, plan, (1, 128, 128), seed=2, indices=[0]).double()
    assert float(x.mean()) == pytest.approx(0.0, abs=5 / 128)
    assert float(x.var()) == pytest.approx(1.0, abs=5 * 2**0.5 / 128)


def test_the_network_is_asked_at_the_plans_timesteps_in_order() -> None:
    asked = []

    def net(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(t.tolist())
        return torch.zeros_like(x_t)

    sample_batch(net, ddpm_plan(SCHEDULE, 4), (1, 2, 2), seed=0, indices=[4, 9])
    assert asked == [[750, 750], [500, 500], [250, 250], [0, 0]]


def test_the_first_state_and_each_steps_noise_are_the_documented_draws() -> None:
    counters = torch.tensor([9, 9]), torch.tensor([4, 2]), torch.tensor([6, 6])
    zero = torch.tensor([0, 0])
    first = normal(counters[0], counters[1], zero, Purpose.FIRST_STATE, (1, 4, 4))
    assert torch.equal(first_state((1, 4, 4), 9, [4, 2]), first)
    noise = normal(*counters, Purpose.STEP, (1, 4, 4))
    assert torch.equal(step_noise((1, 4, 4), 9, [4, 2], 6), noise)


def test_no_step_repeats_the_noise_of_another() -> None:
    draws = [first_state((1, 4, 4), 1, [0]), *(step_noise((1, 4, 4), 1, [0], p) for p in range(9))]
    assert len({tuple(z.flatten().tolist()) for z in draws}) == 10


def test_progress_sees_every_position_of_a_batch() -> None:
    positions = []

    def watch(steps: Iterator[int]) -> Iterator[int]:
        for position in steps:
            positions.append(position)
            yield position

    plan = ddim_plan(SCHEDULE, 6)
    sample_batch(tiny_net(), plan, (1, 8, 8), seed=0, indices=[0], progress=watch)
    assert positions == list(range(6))


def test_sampling_leaves_no_graph_behind() -> None:
    plan = ddim_plan(SCHEDULE, 2)
    assert not sample(tiny_net(), plan, (1, 8, 8), seed=0, index=0).requires_grad
    assert not sample_batch(tiny_net(), plan, (1, 8, 8), seed=0, indices=[0]).requires_grad
