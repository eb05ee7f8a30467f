"""Golden constants: plain Python's, for the linear schedule 1e-4 ... 0.02 with T = 1000."""

import math

import numpy as np
import pytest

from models.diffusers_scheduler import SCHEDULES
from models.schedule import NoiseSchedule, cosine_schedule, linear_schedule, sigmoid_schedule
from tests.models.peer import diffusers

ALPHA_BAR = {
    0: 0.9999,
    1: 0.9997800920720721,
    10: 0.997806572507846,
    50: 0.9699514935950494,
    99: 0.89701814567496,
    100: 0.8951415908975365,
    250: 0.5214230306185275,
    499: 0.07858724288177821,
    500: 0.07779665836502386,
    750: 0.0033001583615694255,
    998: 4.118193638138444e-05,
    999: 4.0358297653756754e-05,
}
POSTERIOR_VARIANCE = {
    1: 5.4531876613021935e-05,
    2: 8.548911523090944e-05,
    10: 0.00025846362040811443,
    100: 0.0020545535299696656,
    487: 0.00979157198569004,
    500: 0.010051335778909593,
    999: 0.01999998352656061,
}
HALF_LOG_SNR = {
    0: 4.60512018348798,
    100: 1.0721854762435155,
    500: -1.2363336323287224,
    999: -5.058836591650517,
}


def test_alpha_bar_has_the_golden_values() -> None:
    alpha_bar = linear_schedule().alpha_bar
    assert {t: alpha_bar[t] for t in ALPHA_BAR} == pytest.approx(ALPHA_BAR, rel=1e-12)


def test_the_signal_to_noise_ratio_has_the_golden_values() -> None:
    """Of its logarithm: near t = 0 the noise is a small difference, and must be right as well."""
    alpha_bar = linear_schedule().alpha_bar
    half_log_snr = 0.5 * np.log(alpha_bar / (1 - alpha_bar))
    assert {t: half_log_snr[t] for t in HALF_LOG_SNR} == pytest.approx(HALF_LOG_SNR, rel=1e-9)


def test_the_posterior_variance_has_the_golden_values_and_ends_at_zero() -> None:
    variance = linear_schedule().posterior_variance
    golden = {t: variance[t] for t in POSTERIOR_VARIANCE}
    assert golden == pytest.approx(POSTERIOR_VARIANCE, rel=1e-9)
    assert variance[0] == 0.0


def test_the_cosine_schedule_has_the_golden_values() -> None:
    cosine = cosine_schedule()
    assert cosine.beta[0] == pytest.approx(4.12842e-5, rel=1e-5)
    assert cosine.alpha_bar[-1] == pytest.approx(2.42877e-9, rel=1e-5)
    assert (cosine.beta == 0.999).sum() == 1
    long = cosine_schedule(4000)
    assert long.beta[0] == pytest.approx(9.86582e-6, rel=1e-5)
    assert long.alpha_bar[-1] == pytest.approx(1.51798e-10, rel=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [linear_schedule(), linear_schedule(50, start=0.01, end=0.2), cosine_schedule(200)]
    + [sigmoid_schedule(), sigmoid_schedule(100, start=0.001, end=0.3)],
    ids=lambda schedule: f"{schedule.name}-{schedule.T}",
)
def test_every_schedule_is_diffusers_own_but_for_its_float32(schedule: NoiseSchedule) -> None:
    theirs = diffusers.DDPMScheduler(
        num_train_timesteps=schedule.T,
        beta_schedule=SCHEDULES[schedule.name],
        beta_start=schedule.start,
        beta_end=schedule.end,
    )
    assert schedule.beta == pytest.approx(theirs.betas.double().numpy(), rel=2e-4)


def test_the_betas_run_evenly_from_start_to_end_with_both_included() -> None:
    schedule = linear_schedule(5, start=0.1, end=0.5)
    assert schedule.T == 5
    assert schedule.beta == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], rel=1e-15)
    assert (schedule.beta[0], schedule.beta[-1]) == (0.1, 0.5)


def test_float32_tables_would_be_off_by_one_part_in_six_thousand_at_the_last_step() -> None:
    """Why every table is float64: 1 - alpha_bar cancels."""
    exact = linear_schedule().alpha_bar
    single = np.cumprod(np.float32(1.0) - np.linspace(1e-4, 0.02, 1000, dtype=np.float32))
    assert exact.dtype == np.float64
    assert single.dtype == np.float32
    assert 1.0 - exact[0] == pytest.approx(1e-4, rel=1e-11)
    error = abs(float(np.float32(1.0) - single[0]) - 1e-4) / 1e-4
    assert error == pytest.approx(1.7e-4, rel=0.03)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_beta_outside_the_open_unit_interval_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        NoiseSchedule(np.array([0.1, bad, 0.2]))


@pytest.mark.parametrize("shape", [(2, 3), (0,), ()])
def test_betas_that_are_not_one_row_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="beta: a chain is one row"):
        NoiseSchedule(np.full(shape, 0.1))


def test_betas_that_leave_no_signal_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="beta: they leave no signal in x_T"):
        linear_schedule(20_000)
