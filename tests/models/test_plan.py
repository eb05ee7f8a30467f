"""Plans by themselves: golden numbers, their last step, their timesteps, what is refused."""

from typing import Any

import numpy as np
import pytest

from models.plan import COLUMNS, Plan, ddim_plan, ddpm_plan, leading_timesteps
from models.schedule import linear_schedule

SCHEDULE = linear_schedule()
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
    ddim = ddim_plan(SCHEDULE, 50, eta=1.0, rederive_eps=True)
    assert ddim.table == pytest.approx(ddpm_plan(SCHEDULE, 50).table, rel=1e-9, abs=1e-13)


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


@pytest.mark.parametrize("plan", [ddpm_plan, ddim_plan])
@pytest.mark.parametrize("steps", [-1, 0, 1001])
def test_more_or_fewer_steps_than_the_chain_has_are_refused(plan: Any, steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps: must be between 1 and 1000, got {steps}"):
        plan(SCHEDULE, steps)


@pytest.mark.parametrize(("steps", "largest"), [(1000, 0), (50, 19), (7, 147), (1, 999)])
def test_an_offset_that_leads_out_of_the_chain_is_refused(steps: int, largest: int) -> None:
    assert leading_timesteps(1000, steps, steps_offset=largest)[0] == 999
    for offset in (largest + 1, -1):
        with pytest.raises(ValueError, match=f"steps_offset: {offset} "):
            leading_timesteps(1000, steps, steps_offset=offset)


@pytest.mark.parametrize("eta", [-0.5, 1.5, float("nan")])
def test_an_eta_without_a_meaning_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match="eta: must be between 0 and 1"):
        ddim_plan(SCHEDULE, 50, eta=eta)


@pytest.mark.parametrize("plan", [ddpm_plan, ddim_plan])
@pytest.mark.parametrize("clip", [-1.0, 0.0, float("nan")])
def test_a_clip_that_leaves_nothing_is_refused(plan: Any, clip: float) -> None:
    with pytest.raises(ValueError, match="clip: must be positive"):
        plan(SCHEDULE, 10, clip=clip)


def test_an_unknown_variance_is_refused() -> None:
    unknown: Any = "learned"
    with pytest.raises(ValueError, match="variance: 'learned'"):
        ddpm_plan(SCHEDULE, 10, variance=unknown)


def test_timesteps_descend_in_equal_strides_to_the_offset() -> None:
    assert leading_timesteps(1000, 4).tolist() == [750, 500, 250, 0]
    assert leading_timesteps(10, 3, steps_offset=1).tolist() == [7, 4, 1]
    assert leading_timesteps(1000, 1000).tolist() == list(range(999, -1, -1))


def test_a_plan_is_stochastic_only_where_some_step_adds_noise() -> None:
    assert ddpm_plan(SCHEDULE, 10).stochastic
    assert ddim_plan(SCHEDULE, 10, eta=0.5).stochastic
    assert not ddim_plan(SCHEDULE, 10, eta=0.0).stochastic
    assert not ddpm_plan(SCHEDULE, 1).stochastic


def test_no_clipping_is_an_infinite_bound() -> None:
    assert (ddpm_plan(SCHEDULE, 3, clip=None).column("k") == np.inf).all()
    assert (ddim_plan(SCHEDULE, 3, clip=0.5).column("k") == 0.5).all()


def test_a_plan_counts_its_steps() -> None:
    assert ddim_plan(SCHEDULE, 7).steps == ddpm_plan(SCHEDULE, 7).steps == 7
