"""The samplers by name, and what a model has each do where nothing is said."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from models.checkpoint import Checkpoint
from models.plan import Plan, Variance, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.spacing import Spacing

SamplerName = Literal["ddpm", "ddim", "dpmpp-2m"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
SHORT = {"ddim": 50, "dpmpp-2m": 20}  # steps worth taking; ddpm has them all


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler with everything said: together with a checkpoint it determines a plan."""

    name: SamplerName
    steps: int
    spacing: Spacing = "leading"
    clip: float | None = None  # None: x0_hat is not clipped
    variance: Variance = "fixed_small"  # of ddpm
    eta: float = 0.0  # of ddim

    def plan(self, checkpoint: Checkpoint, *, start_t: int | None = None) -> Plan:
        """From x_T, or from x_t of the paper's t. Raises ValueError where the model cannot."""
        own, make = checkpoint.defaults, self._maker(checkpoint)
        return make(
            checkpoint.schedule,
            self.steps,
            clip=self.clip,
            spacing=self.spacing,
            steps_offset=own.steps_offset,
            start_t=start_t,
            prediction=own.prediction,
        )

    def _maker(self, checkpoint: Checkpoint) -> Callable[..., Plan]:
        """The sampler's table, but for what all have in common."""
        own = checkpoint.defaults
        if self.name == "ddpm":
            return partial(ddpm_plan, variance=self.variance)
        if self.name == "ddim":
            return partial(ddim_plan, eta=self.eta, set_alpha_to_one=own.set_alpha_to_one)
        return dpmpp_2m_plan


def own_sampler(checkpoint: Checkpoint, name: SamplerName, steps: int | None = None) -> Sampler:
    """As the checkpoint has it: spacing, clipping, variance. In as many steps as are worth taking.

    fixed_large is for the full chain; a shortened one has fixed_small. DPM-Solver++ is never
    clipped, as published, and sees both ends.
    """
    defaults, T = checkpoint.defaults, checkpoint.schedule.T  # noqa: N806
    steps = min(SHORT.get(name, T), T) if steps is None else steps
    if name == "dpmpp-2m":
        return Sampler(name, steps, "linspace")
    if name == "ddim":
        return Sampler(name, steps, defaults.spacing, defaults.clip)
    too_noisy = steps < T and defaults.variance == "fixed_large"
    variance: Variance = "fixed_small" if too_noisy else defaults.variance
    return Sampler(name, steps, defaults.spacing, defaults.clip, variance)
