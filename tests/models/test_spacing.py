"""Which timesteps are kept: the published lists, and what holds for every length."""

from typing import Any, get_args

import pytest

from models.spacing import Spacing, timesteps
from tests.models.peer import diffusers

TEN_OF_A_THOUSAND = {
    "leading": [900, 800, 700, 600, 500, 400, 300, 200, 100, 0],
    "trailing": [999, 899, 799, 699, 599, 499, 399, 299, 199, 99],
    "linspace": [999, 888, 777, 666, 555, 444, 333, 222, 111, 0],
    "quadratic": [800, 632, 483, 355, 246, 158, 88, 39, 9, 0],
}
SPACINGS = get_args(Spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ten_of_a_thousand_are_the_published_ones(spacing: Any) -> None:
    assert timesteps(1000, 10, spacing).tolist() == TEN_OF_A_THOUSAND[spacing]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("levels", [1, 2, 17, 1000])
def test_any_number_of_steps_descends_within_the_chain(spacing: Any, levels: int) -> None:
    for steps in range(1, levels + 1):
        t = timesteps(levels, steps, spacing).tolist()
        assert len(t) == steps
        assert all(a > b for a, b in zip(t, t[1:], strict=False)), (steps, t)
        assert t[0] < levels
        assert t[-1] >= 0


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_steps_are_the_whole_chain(spacing: Any) -> None:
    assert timesteps(50, 50, spacing).tolist() == list(range(49, -1, -1))


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_some_spacings_start_where_the_chain_does(spacing: Any) -> None:
    assert {timesteps(1000, steps, spacing)[0] for steps in (1, 7, 50, 999)} == {999}


def test_leading_takes_an_offset() -> None:
    assert timesteps(10, 3, steps_offset=1).tolist() == [7, 4, 1]


@pytest.mark.parametrize(("steps", "largest"), [(1000, 0), (50, 19), (7, 147), (1, 999)])
def test_an_offset_leads_no_further_than_the_chain(steps: int, largest: int) -> None:
    furthest = timesteps(1000, steps, steps_offset=largest)
    assert furthest[0] == 999
    assert timesteps(1000, steps, steps_offset=largest + 1).tolist() == furthest.tolist()


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("levels", [1000, 777, 100])
def test_the_lists_are_diffusers_for_every_number_of_steps(spacing: Any, levels: int) -> None:
    """But where its trailing list, made in float64, has one step too many; and of one step its
    linspace is 0, where nothing is left to be done.
    """
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=levels, timestep_spacing=spacing)
    for steps in range(2, levels + 1):
        scheduler.set_timesteps(steps)
        theirs = scheduler.timesteps.tolist()[:steps]
        assert timesteps(levels, steps, spacing).tolist() == theirs, steps


def test_an_unknown_spacing_is_refused() -> None:
    unknown: Any = "karras"
    with pytest.raises(ValueError, match="spacing: 'karras' is none of"):
        timesteps(1000, 10, unknown)


@pytest.mark.parametrize("steps", [-1, 0, 11])
def test_more_or_fewer_steps_than_there_are_levels_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps: must be between 1 and 10, got {steps}"):
        timesteps(10, steps, "linspace")
