"""What a model has each sampler do where nothing is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.checkpoint import Checkpoint, load_checkpoint
from models.diffusers_scheduler import SamplingDefaults
from models.plan import Variance
from models.samplers import SAMPLERS, Sampler, SamplerName, own_sampler


@pytest.fixture
def checkpoint(tiny_model: Path) -> Checkpoint:
    """Of T = 1000, clipped to 0.9, with the larger of the fixed variances."""
    return replace(load_checkpoint(tiny_model), defaults=SamplingDefaults("fixed_large", 0.9))


def test_unasked_each_takes_the_steps_that_are_worth_it(checkpoint: Checkpoint) -> None:
    assert [own_sampler(checkpoint, name) for name in SAMPLERS] == [
        Sampler("ddpm", 1000, "leading", 0.9, "fixed_large"),
        Sampler("ddim", 50, "leading", 0.9),
        Sampler("dpmpp-2m", 20, "linspace", None),
    ]


@pytest.mark.parametrize(
    ("own", "steps", "taken"),
    [
        ("fixed_large", 1000, "fixed_large"),
        ("fixed_large", 999, "fixed_small"),
        ("fixed_small", 999, "fixed_small"),
        ("learned_range", 1000, "learned_range"),
        ("learned_range", 999, "learned_range"),
    ],
)
def test_a_shortened_chain_is_not_swamped_by_noise(
    checkpoint: Checkpoint, own: Variance, steps: int, taken: Variance
) -> None:
    model = replace(checkpoint, defaults=SamplingDefaults(own, 0.9))
    assert own_sampler(model, "ddpm", steps).variance == taken


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_model_does_of_its_own_it_can_do(checkpoint: Checkpoint, name: SamplerName) -> None:
    for steps in (None, 1, 7):
        sampler = own_sampler(checkpoint, name, steps)
        assert sampler.plan(checkpoint).steps == sampler.steps
        assert sampler.steps == (steps or sampler.steps)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_chain_can_start_midway(checkpoint: Checkpoint, name: SamplerName) -> None:
    sampler = replace(own_sampler(checkpoint, name, 5), spacing="trailing")
    plan = sampler.plan(checkpoint, start_t=500)
    assert plan.column("t")[0] == 499
    with pytest.raises(ValueError, match="steps: must be between 1 and 4"):
        sampler.plan(checkpoint, start_t=4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_offset_breaks_no_chain(checkpoint: Checkpoint, name: SamplerName) -> None:
    """Of T steps there is no room for one; of 50, DPM-Solver++ spaces 51 and takes no last."""
    shifted = replace(checkpoint, defaults=SamplingDefaults(steps_offset=1))
    for steps, first in ((1000, 999), (50, 951 if name == "dpmpp-2m" else 981)):
        sampler = replace(own_sampler(shifted, name, steps), spacing="leading")
        assert sampler.plan(shifted).column("t")[0] == first
