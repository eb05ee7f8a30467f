"""diffusers' scheduler_config.json, read and written, and which parts a folder may have.

A network remembers its noise schedule and what it predicts; which solver the folder was saved with
is of no account, as long as it solves the same chain. Every key that changes numbers is honoured,
required or refused by name.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.diffusers_config import (
    DIFFUSERS_VERSION,
    CheckpointError,
    expect_known,
    expect_values,
    present,
)
from models.faults import one_line
from models.plan import FixedVariance, Prediction, Variance
from models.schedule import NoiseSchedule, ScheduleName, named_schedule
from models.spacing import Spacing

# Of a DDPM's chain in discrete steps; not those of distilled, inpainting or continuous models.
SCHEDULERS = {
    f"{name}Scheduler"
    for name in (
        *("DDPM", "DDPMParallel", "DDIM", "DDIMParallel", "PNDM", "UniPCMultistep", "SASolver"),
        *("DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "HeunDiscrete"),
        *("EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete"),
        *("KDPM2Discrete", "KDPM2AncestralDiscrete"),
    )
}
# Scheduler options whose only value read here is the one given.
FIXED_SCHEDULER_OPTIONS: dict[str, Any] = {
    "predict_epsilon": True,  # of old files; False is today's prediction_type "sample"
    "rescale_betas_zero_snr": False,
    "shift_terminal": None,
    "thresholding": False,
    "timestep_type": "discrete",
    "trained_betas": None,
    "use_dynamic_shifting": False,
    "use_flow_sigmas": False,
}
# How a solver goes about it: replaced by the sampler's plan, whatever they say.
SOLVERS_OWN = {
    *("algorithm_type", "corrector_order", "disable_corrector", "dynamic_thresholding_ratio"),
    *("euler_at_final", "final_sigmas_type", "flow_shift", "interpolation_type"),
    *("lambda_min_clipped", "lower_order_final", "predict_x0", "predictor_order"),
    *("sample_max_value", "sigma_max", "sigma_min", "skip_prk_steps", "solver_order", "solver_p"),
    *("solver_type", "tau_func", "tensor_format", "time_shift_type", "timestep_values"),
    *("use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas", "use_lu_lambdas"),
}
SCHEDULES: dict[ScheduleName, str] = {
    "linear": "linear",
    "cosine": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
}
MODEL_INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": DIFFUSERS_VERSION,
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}


class _Scheduler(BaseModel):
    """What is read of scheduler_config.json, under diffusers' names and with its defaults."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]
    beta_schedule: Literal["linear", "squaredcos_cap_v2", "sigmoid"]
    prediction_type: Prediction = "epsilon"  # before there was the key, there was nothing else
    variance_type: Variance | None = "fixed_small"  # None: of a solver that has no use for it
    clip_sample: bool = True
    clip_sample_range: Annotated[float, Field(gt=0)] = 1.0
    steps_offset: Annotated[int, Field(ge=0, le=1)] = 0
    set_alpha_to_one: bool = True
    timestep_spacing: Spacing = "leading"


KNOWN = _Scheduler.model_fields.keys() | FIXED_SCHEDULER_OPTIONS.keys() | SOLVERS_OWN


@dataclass(frozen=True)
class SamplingDefaults:
    """What the checkpoint's scheduler says of sampling."""

    variance: Variance = "fixed_small"
    clip: float | None = 1.0
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    prediction: Prediction = "epsilon"  # what the network's output is
    spacing: Spacing = "leading"  # of ddpm and ddim

    @property
    def fixed_variance(self) -> FixedVariance:
        """What stands in for a learned variance where none is computed."""
        return "fixed_small" if self.variance == "learned_range" else self.variance


def parse_scheduler_config(raw: dict[str, Any]) -> tuple[NoiseSchedule, SamplingDefaults]:
    """scheduler_config.json -> schedule and defaults. Raises CheckpointError naming the key."""
    kind = raw.get("_class_name", "DDPMScheduler")
    if kind not in SCHEDULERS:
        raise CheckpointError(f"_class_name: {kind!r} is not supported")
    expect_values(raw, FIXED_SCHEDULER_OPTIONS)
    for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"):
        present(raw, key)
    expect_known(raw, KNOWN)
    try:
        read = _Scheduler.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(one_line(error)) from error
    schedule = named_schedule(
        next(ours for ours, theirs in SCHEDULES.items() if theirs == read.beta_schedule),
        read.num_train_timesteps,
        start=read.beta_start,
        end=read.beta_end,
    )
    return schedule, SamplingDefaults(
        read.variance_type or "fixed_small",
        clip=read.clip_sample_range if read.clip_sample else None,
        steps_offset=read.steps_offset,
        set_alpha_to_one=read.set_alpha_to_one,
        prediction=read.prediction_type,
        spacing=read.timestep_spacing,
    )


def scheduler_config_json(
    schedule: NoiseSchedule, variance: str, prediction: Prediction
) -> dict[str, Any]:
    """As diffusers' DDPMScheduler config."""
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": DIFFUSERS_VERSION,
        "beta_end": schedule.end,
        "beta_schedule": SCHEDULES[schedule.name],
        "beta_start": schedule.start,
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "num_train_timesteps": schedule.T,
        "prediction_type": prediction,
        "rescale_betas_zero_snr": False,
        "steps_offset": 0,
        "thresholding": False,
        "timestep_spacing": "leading",
        "trained_betas": None,
        "variance_type": variance,
    }


def expect_parts(raw: dict[str, Any]) -> None:
    """model_index.json: a network and a scheduler. Raises CheckpointError naming another part, for
    a folder with an autoencoder has latents where we would see pixels.
    """
    for part, library_and_class in raw.items():
        there = not isinstance(library_and_class, list) or any(library_and_class)
        if not part.startswith("_") and part not in MODEL_INDEX and there:
            raise CheckpointError(f"{part}: a pipeline of more than a U-Net is not supported")
