"""A plan and a scheduler of diffusers' that should be the same, one step at a time.

At every step both sides get the same x, the same eps and the same noise. Two comparisons:

- *exact*: diffusers' float32 table of alpha_bar is replaced by our float64 one and all tensors are
  float64, so that nothing but the formulas is compared: they agree to 1e-12.
- *shipped*: diffusers as it is, in float32. Its x0_hat = r1 x - r2 eps cancels where r1 and r2 are
  large: 157 times the last bit of an x of 3 is 3e-5 at t = 999. And its table is off by 1.7e-4 in
  1 - alpha_bar near t = 0 (see test_schedule), which reaches the image as 8e-5 on the last steps
  of the full chain, where the posterior mean weighs x_0 by beta / (1 - alpha_bar).

Without clipping x0_hat can be as large as 157 x, so differences are taken relative to the largest
value where that is above 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.diffusers_scheduler import SCHEDULES
from models.diffusion import learned_step, reverse_step
from models.plan import LEAST_LAMBDA, Plan, Prediction, ddim_plan, ddpm_plan, dpmpp_2m_plan
from models.schedule import NoiseSchedule, linear_schedule
from models.spacing import Spacing
from tests.models.peer import diffusers

SCHEDULE = linear_schedule()
SHAPE = (2, 3, 4, 4)


@dataclass
class Chain:
    """Both sides, and what diffusers' `step` is told besides x, t and eps."""

    plan: Plan
    scheduler: Any
    options: dict[str, Any]
    schedule: NoiseSchedule = SCHEDULE
    prediction: Prediction = "epsilon"

    def exact_difference(self) -> float:
        """The worst of all steps, in float64 and with our table on both sides."""
        self.scheduler.alphas_cumprod = torch.from_numpy(self.schedule.alpha_bar)
        if self.scheduler.config.get("set_alpha_to_one") is False:
            self.scheduler.final_alpha_cumprod = self.scheduler.alphas_cumprod[0]
        return self._worst_difference(torch.float64)

    def shipped_difference(self) -> float:
        """The worst of all steps, with diffusers as it is."""
        return self._worst_difference(torch.float32)

    def _worst_difference(self, dtype: torch.dtype) -> float:
        """Of x and of x0_hat; each step starts from diffusers' x."""
        self.scheduler.set_timesteps(self.plan.steps)
        assert self.scheduler.timesteps.tolist() == self.plan.column("t").tolist()
        table = torch.from_numpy(self.plan.table).to(dtype)
        x, worst = randn(999_999, dtype), 0.0
        for i, t in enumerate(self.scheduler.timesteps.tolist()):
            out, noise = self._plausible(x, t, seed=2 * i), randn(2 * i + 1, dtype)
            theirs = self._their_step(i, t, x, out)
            ours = self._our_step(i, table[i].expand(len(x), -1), x, out, noise)
            worst = max(worst, *map(difference, ours, theirs))
            x = theirs[0]
        return worst

    def _our_step(
        self, i: int, line: Tensor, x: Tensor, out: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.plan.log_range is None:
            return reverse_step(line, x, out, torch.zeros_like(x), noise)
        log_range = torch.from_numpy(self.plan.log_range[i]).to(x.dtype)
        return learned_step(line, log_range.expand(len(x), -1), x, out, noise)

    def _plausible(self, x: Tensor, t: int, seed: int) -> Tensor:
        said = plausible(x, float(self.schedule.alpha_bar[t]), self.prediction, seed)
        if self.plan.log_range is None:
            return said
        return torch.cat([said, 0.8 * randn(seed + 500_000, x.dtype)], dim=1)  # and of variances

    def _their_step(self, i: int, t: int, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.scheduler, diffusers.DDPMScheduler):
            options = {"generator": torch.Generator().manual_seed(2 * i + 1)}
        else:
            # The one wanted difference: the last step of a plan adds no noise, whatever eta and
            # offset. diffusers' would where abar goes on from t = steps_offset to abar_0.
            last = i == self.plan.steps - 1
            noise = randn(2 * i + 1, x.dtype)
            options = self.options | {"variance_noise": noise * 0 if last else noise}
        out = self.scheduler.step(eps, t, x, **options)
        return out.prev_sample, out.pred_original_sample


def randn(seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plausible(x: Tensor, abar: float, prediction: Prediction, seed: int) -> Tensor:
    """The best guess for standard normal data, plus an error: x stays of order 1 over the chain,
    x0_hat is clipped in some places and not in others.
    """
    share = {"epsilon": (1 - abar) ** 0.5, "sample": abar**0.5, "v_prediction": 0.0}
    best: Tensor = share[prediction] * x
    return best + 0.1 * randn(seed, x.dtype)


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0))


def ddpm_chain(
    variance: Any,
    steps: int,
    clip: float | None,
    *,
    offset: int = 0,
    spacing: Spacing = "leading",
    schedule: NoiseSchedule = SCHEDULE,
    prediction: Prediction = "epsilon",
) -> Chain:
    scheduler = diffusers.DDPMScheduler(
        beta_schedule=SCHEDULES[schedule.name],
        prediction_type=prediction,
        timestep_spacing=spacing,
        variance_type=variance,
        clip_sample=clip is not None,
        clip_sample_range=clip or 1.0,
        steps_offset=offset,
    )
    plan = ddpm_plan(
        schedule,
        steps,
        variance=variance,
        clip=clip,
        steps_offset=offset,
        spacing=spacing,
        prediction=prediction,
    )
    return Chain(plan, scheduler, {}, schedule, prediction)


def ddim_chain(
    steps: int,
    clip: float | None,
    *,
    eta: float,
    to_one: bool = True,
    offset: int = 0,
    rederive: bool = False,
    spacing: Spacing = "leading",
    schedule: NoiseSchedule = SCHEDULE,
    prediction: Prediction = "epsilon",
) -> Chain:
    scheduler = diffusers.DDIMScheduler(
        beta_schedule=SCHEDULES[schedule.name],
        prediction_type=prediction,
        timestep_spacing=spacing,
        clip_sample=clip is not None,
        clip_sample_range=clip or 1.0,
        set_alpha_to_one=to_one,
        steps_offset=offset,
    )
    conventions: dict[str, Any] = {
        "steps_offset": offset,
        "set_alpha_to_one": to_one,
        "rederive_eps": rederive,
        "spacing": spacing,
        "prediction": prediction,
    }
    plan = ddim_plan(schedule, steps, eta=eta, clip=clip, **conventions)
    options = {"eta": eta, "use_clipped_model_output": rederive}
    return Chain(plan, scheduler, options, schedule, prediction)


def dpmpp_difference(
    steps: int,
    spacing: Spacing,
    *,
    offset: int = 0,
    schedule: NoiseSchedule = SCHEDULE,
    prediction: Prediction = "epsilon",
) -> float:
    """Of x after every step of a whole chain; each step starts from diffusers' x, each side
    remembers its own x0_hat. diffusers has our table in float64, but rounds x to float32.
    """
    plan = dpmpp_2m_plan(
        schedule, steps, spacing=spacing, steps_offset=offset, prediction=prediction
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(
        beta_schedule=SCHEDULES[schedule.name],
        prediction_type=prediction,
        timestep_spacing=spacing,
        steps_offset=offset,
        lambda_min_clipped=LEAST_LAMBDA,
    )
    scheduler.set_timesteps(steps)
    t = plan.column("t").astype(int)
    assert scheduler.timesteps.tolist() == t.tolist()
    abar = schedule.alpha_bar[t]
    scheduler.sigmas = torch.from_numpy(np.append(np.sqrt((1 - abar) / abar), 0.0))
    x, x0, worst = randn(999_999, torch.float64), torch.zeros(SHAPE), 0.0
    for i, line in enumerate(torch.from_numpy(plan.table)):
        out = plausible(x, float(abar[i]), prediction, seed=i)
        ours, x0 = reverse_step(line.expand(len(x), -1), x, out, x0, None)
        x = scheduler.step(out, int(t[i]), x).prev_sample.double()
        worst = max(worst, difference(ours, x))
    return worst
