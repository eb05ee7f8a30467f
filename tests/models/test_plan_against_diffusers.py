"""Our tables against diffusers' schedulers over whole chains, first and last step included."""

from typing import Any

import pytest

from models.schedule import NoiseSchedule, cosine_schedule, sigmoid_schedule
from tests.models.chain import SCHEDULE, ddim_chain, ddpm_chain, dpmpp_difference

FORMULA = 1e-12  # see tests/models/chain.py for both bounds
ROUNDING = 5e-5


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("steps", [1000, 999, 300, 50, 7, 1])  # most do not divide 1000
def test_every_ddpm_step_is_diffusers_formula(steps: int, clip: float | None) -> None:
    assert ddpm_chain("fixed_small", steps, clip).exact_difference() < FORMULA


@pytest.mark.parametrize("clip", [1.0, 0.5, None])
def test_every_ddpm_step_of_fixed_large_is_diffusers_formula(clip: float | None) -> None:
    assert ddpm_chain("fixed_large", 1000, clip).exact_difference() < FORMULA


def test_a_ddpm_chain_with_an_offset_is_diffusers_too() -> None:
    chain = ddpm_chain("fixed_small", 50, 1.0, offset=1)
    assert chain.exact_difference() < 1e-9  # diffusers adds 1e-10 z at the end


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("rederive", [False, True])
@pytest.mark.parametrize(("to_one", "offset"), [(True, 0), (False, 0), (False, 1)])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_every_ddim_step_is_diffusers_formula(
    eta: float, to_one: bool, offset: int, rederive: bool, clip: float | None
) -> None:
    chain = ddim_chain(50, clip, eta=eta, to_one=to_one, offset=offset, rederive=rederive)
    assert chain.exact_difference() < FORMULA


@pytest.mark.parametrize("steps", [1000, 999, 300, 7, 1])
def test_ddim_chains_of_other_lengths_are_diffusers_too(steps: int) -> None:
    assert ddim_chain(steps, 0.5, eta=1.0, to_one=False).exact_difference() < FORMULA


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize(
    ("variance", "steps", "bound"),
    [("fixed_small", 50, ROUNDING), ("fixed_small", 1000, 2e-4), ("fixed_large", 1000, 2e-4)],
)
def test_ddpm_is_diffusers_as_shipped_but_for_its_rounding(
    variance: str, steps: int, bound: float, clip: float | None
) -> None:
    assert ddpm_chain(variance, steps, clip).shipped_difference() < bound


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_diffusers_as_shipped_but_for_its_rounding(eta: float, clip: float | None) -> None:
    assert ddim_chain(50, clip, eta=eta).shipped_difference() < ROUNDING


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
@pytest.mark.parametrize("steps", [1000, 999, 50, 7])
def test_ddpm_with_other_spacings_is_diffusers_too(steps: int, spacing: Any) -> None:
    chain = ddpm_chain("fixed_small", steps, 1.0, spacing=spacing)
    assert chain.exact_difference() < 1e-9  # as with an offset


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1000, 50, 8])
def test_ddim_with_trailing_spacing_is_diffusers_too(steps: int, eta: float) -> None:
    assert ddim_chain(steps, 1.0, eta=eta, spacing="trailing").exact_difference() < FORMULA


PREDICTIONS = ["epsilon", "sample", "v_prediction"]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # diffusers' own, of numpy 2
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [999, 50, 20, 14, 3, 2, 1])
def test_dpm_solver_is_diffusers_over_a_whole_chain(steps: int, spacing: Any) -> None:
    assert dpmpp_difference(steps, spacing) < 1e-6  # of its float32 x


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["leading", "linspace"])
@pytest.mark.parametrize("schedule", [SCHEDULE, cosine_schedule()])  # diffusers' has no sigmoid
def test_every_dpm_solver_schedule_and_prediction_is_diffusers(
    schedule: NoiseSchedule, spacing: Any, prediction: Any, offset: int
) -> None:
    found = dpmpp_difference(20, spacing, offset=offset, schedule=schedule, prediction=prediction)
    assert found < 1e-6


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", [SCHEDULE, cosine_schedule(), sigmoid_schedule()])
def test_every_schedule_and_prediction_is_diffusers_formula(
    schedule: NoiseSchedule, prediction: Any, clip: float | None
) -> None:
    chain = ddpm_chain("fixed_small", 50, clip, schedule=schedule, prediction=prediction)
    assert chain.exact_difference() < 1e-11


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("rederive", [False, True])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", [SCHEDULE, cosine_schedule()])
def test_every_ddim_schedule_and_prediction_is_diffusers_formula(
    schedule: NoiseSchedule, prediction: Any, rederive: bool, eta: float
) -> None:
    chain = ddim_chain(
        50, 1.0, eta=eta, rederive=rederive, schedule=schedule, prediction=prediction
    )
    assert chain.exact_difference() < 1e-11


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [1000, 300, 50, 7])
def test_every_step_of_a_learned_variance_is_diffusers_formula(
    steps: int, prediction: Any, clip: float | None
) -> None:
    chain = ddpm_chain("learned_range", steps, clip, prediction=prediction)
    assert chain.exact_difference() < 1e-11


@pytest.mark.parametrize("steps", [1000, 50])
def test_a_learned_variance_is_diffusers_as_shipped_but_for_its_rounding(steps: int) -> None:
    assert ddpm_chain("learned_range", steps, 1.0).shipped_difference() < 2e-4
