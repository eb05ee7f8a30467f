"""Plans by themselves: golden numbers, their last step, their timesteps, what is refused."""

from typing import Any

import numpy as np
import pytest

from models.plan import COLUMNS, Plan, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.schedule import linear_schedule

SCHEDULE = linear_schedule()
PLANS = [ddpm_plan, ddim_plan, dpmpp_2m_plan]
GOLDEN = {  # the full chain of fixed_small, in plain Python: t -> r1, r2, a, b
    0: (1.0000500037503126, 0.01000050003749898, 0.0, 1.0),
    1: (1.0001099721020992, 0.014830923708980388, 0.4547084989905303, 0.5452914995102903),
    500: (3.585250693875451, 3.4429671125258237, 0.9941043507567255, 0.003058057075629619),
    999: (157.41045725150065, 157.4072808104076, 0.9899486782675173, 0.00012835148717224682),
}


@pytest.mark.parametrize("t", GOLDEN)
def test_the_full_ddpm_chain_has_the_golden_coefficients(t: int) -> None:
    plan = ddpm_plan(SCHEDULE, 1000)
    line = [plan.column(name)[999 - t] for name in ("r1", "r2", "a", "b")]
    assert line == pytest.approx(GOLDEN[t], rel=1e-9)


def test_the_full_chain_adds_the_posterior_variance_or_beta() -> None:
    small = ddpm_plan(SCHEDULE, 1000).column("s")[::-1]
    large = ddpm_plan(SCHEDULE, 1000, variance="fixed_large").column("s")[::-1]
    assert small**2 == pytest.approx(SCHEDULE.posterior_variance, rel=1e-9)
    assert large[1:] ** 2 == pytest.approx(SCHEDULE.beta[1:], rel=1e-9)


def test_ddim_with_eta_one_is_ancestral_sampling() -> None:
    """Written differently: its e moved into a and b is the posterior mean."""
    ddim = ddim_plan(SCHEDULE, 50, eta=1.0)
    assert ddim.table == pytest.approx(ddpm_plan(SCHEDULE, 50).table, rel=1e-9, abs=1e-13)


def test_ddim_asks_the_network_for_x0_hat_alone() -> None:
    """What was clipped says where eps is; the network's own no longer belongs to it."""
    assert (ddim_plan(SCHEDULE, 50, eta=0.5).column("e") == 0.0).all()
    assert (ddim_plan(SCHEDULE, 50, eta=0.5, rederive_eps=False).column("e")[:-1] > 0.0).all()


@pytest.mark.parametrize(
    "plan",
    [
        ddpm_plan(SCHEDULE, 1000),
        ddpm_plan(SCHEDULE, 1000, variance="fixed_large"),
        ddpm_plan(SCHEDULE, 50, steps_offset=1),
        ddpm_plan(SCHEDULE, 1),
        ddim_plan(SCHEDULE, 50, eta=1.0),
        ddim_plan(SCHEDULE, 50, eta=1.0, steps_offset=1, set_alpha_to_one=False),
        ddim_plan(SCHEDULE, 1, eta=1.0, set_alpha_to_one=False),
    ],
)
def test_the_last_step_of_every_plan_adds_no_noise(plan: Plan) -> None:
    assert plan.column("s")[-1] == 0.0
    assert (plan.column("s")[:-1] > 0.0).all()
    assert np.isfinite(plan.table).all()


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_the_last_ddpm_step_returns_x0_hat_itself(variance: Any) -> None:
    line = ddpm_plan(SCHEDULE, 1000, variance=variance).table[-1]
    last = dict(zip(COLUMNS, line, strict=True))
    assert last["b"] == pytest.approx(1.0, rel=1e-12)
    assert (last["a"], last["e"], last["c"], last["s"]) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("steps", [1, 10, 999])
def test_fixed_large_is_refused_on_a_shortened_chain(steps: int) -> None:
    with pytest.raises(ValueError, match="fixed_large"):
        ddpm_plan(SCHEDULE, steps, variance="fixed_large")


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("steps", [-1, 0, 1001])
def test_more_or_fewer_steps_than_the_chain_has_are_refused(plan: Any, steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps: must be between 1 and 1000, got {steps}"):
        plan(SCHEDULE, steps)


@pytest.mark.parametrize("eta", [-0.5, 1.5, float("nan")])
def test_an_eta_without_a_meaning_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match="eta: must be between 0 and 1"):
        ddim_plan(SCHEDULE, 50, eta=eta)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("clip", [-1.0, 0.0, float("nan")])
def test_a_clip_that_leaves_nothing_is_refused(plan: Any, clip: float) -> None:
    with pytest.raises(ValueError, match="clip: must be positive"):
        plan(SCHEDULE, 10, clip=clip)


def test_an_unknown_variance_is_refused() -> None:
    unknown: Any = "learned"
    with pytest.raises(ValueError, match="variance: 'learned'"):
        ddpm_plan(SCHEDULE, 10, variance=unknown)


def test_a_plan_is_stochastic_only_where_some_step_adds_noise() -> None:
    assert ddpm_plan(SCHEDULE, 10).stochastic
    assert ddim_plan(SCHEDULE, 10, eta=0.5).stochastic
    assert not ddim_plan(SCHEDULE, 10, eta=0.0).stochastic
    assert not ddpm_plan(SCHEDULE, 1).stochastic
    assert not dpmpp_2m_plan(SCHEDULE, 20).stochastic


def test_no_clipping_is_an_infinite_bound() -> None:
    assert (ddpm_plan(SCHEDULE, 3, clip=None).column("k") == np.inf).all()
    assert (ddim_plan(SCHEDULE, 3, clip=0.5).column("k") == 0.5).all()


def test_a_plan_counts_its_steps() -> None:
    assert ddim_plan(SCHEDULE, 7).steps == ddpm_plan(SCHEDULE, 7).steps == 7


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("start_t", [0, 1001, -5])
def test_a_chain_starts_within_the_schedule(plan: Any, start_t: int) -> None:
    with pytest.raises(ValueError, match=f"t: must be between 1 and 1000, got {start_t}"):
        plan(SCHEDULE, 1, start_t=start_t)


@pytest.mark.parametrize("plan", PLANS)
def test_a_chain_from_midway_has_no_more_steps_than_are_left(plan: Any) -> None:
    with pytest.raises(ValueError, match="steps: must be between 1 and 30, got 31"):
        plan(SCHEDULE, 31, start_t=30)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_a_full_chain_from_midway_is_the_end_of_the_whole_one(variance: Any) -> None:
    whole = ddpm_plan(SCHEDULE, 1000, variance=variance)
    assert np.array_equal(
        ddpm_plan(SCHEDULE, 300, variance=variance, start_t=300).table, whole.table[-300:]
    )


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_a_shortened_chain_from_midway_starts_at_its_t(plan: Any, spacing: Any) -> None:
    t = plan(SCHEDULE, 8, start_t=500, spacing=spacing).column("t")
    assert (t[0], len(t)) == (499, 8)


def test_without_its_memory_dpmpp_is_ddim() -> None:
    """First order in lambda, both: a = s'/s and b = a' - a s'/s, once e is moved into a and b."""
    dpmpp = dpmpp_2m_plan(SCHEDULE, 20, spacing="trailing", clip=1.0)
    ddim = ddim_plan(SCHEDULE, 20, spacing="trailing")
    for name in ("t", "r1", "r2", "k", "a"):
        assert dpmpp.column(name) == pytest.approx(ddim.column(name), rel=1e-9, abs=1e-12)
    both = dpmpp.column("b") + dpmpp.column("c")
    assert both == pytest.approx(ddim.column("b"), rel=1e-9)
    assert (dpmpp.column("c")[1:-1] < 0).all()
    assert dpmpp.column("c")[[0, -1]].tolist() == [0, 0]


@pytest.mark.parametrize("steps", [1, 2, 3, 999, 1000])
def test_dpmpp_has_the_steps_it_was_asked_for(steps: int) -> None:
    plan = dpmpp_2m_plan(SCHEDULE, steps)
    assert plan.steps == steps
    assert np.isfinite(plan.table[:, 4:]).all()
    assert plan.column("b")[-1] == pytest.approx(1.0)
    assert plan.column("a")[-1] == 0.0
