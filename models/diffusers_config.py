"""diffusers' config files, read and written: UNet2DModel, DDPMScheduler, DDIMScheduler.

Every key that changes numbers is required or refused by name: UNet2DModel's own defaults differ
from the paper's in five places, so a missing key must never be guessed.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.faults import one_line
from models.plan import FixedVariance, Prediction, Variance
from models.schedule import NoiseSchedule, ScheduleName, named_schedule
from models.unet import UNetConfig

DIFFUSERS_VERSION = "0.30.0"  # the layout's; any later release reads it

# UNet2DModel options whose only value read here is the one given.
FIXED_UNET_OPTIONS: dict[str, Any] = {
    "act_fn": "silu",
    "add_attention": True,
    "attn_norm_num_groups": None,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_type": "conv",
    "dropout": 0.0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "num_train_timesteps": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
# UNet2DModel options of any value that makes a network, under UNetConfig's own names.
UNET_OPTIONS = {f.name for f in fields(UNetConfig)} - {"attention", "dropout"}
# Scheduler options with one readable value; those of fast samplers are the sampler plan's own.
FIXED_SCHEDULER_OPTIONS: dict[str, Any] = {
    "rescale_betas_zero_snr": False,
    "thresholding": False,
    "trained_betas": None,
}
SCHEDULES: dict[ScheduleName, str] = {
    "linear": "linear",
    "cosine": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
}
DOWN_BLOCKS = {"DownBlock2D": False, "AttnDownBlock2D": True}
UP_BLOCKS = {"UpBlock2D": False, "AttnUpBlock2D": True}


class CheckpointError(ValueError):
    """The folder is not a checkpoint that can be read; the message names the file and the key."""


class _Scheduler(BaseModel):
    """What is read of scheduler_config.json, under diffusers' names and with its defaults."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]
    beta_schedule: Literal["linear", "squaredcos_cap_v2", "sigmoid"] = "linear"
    prediction_type: Prediction = "epsilon"
    variance_type: Variance = "fixed_small"
    clip_sample: bool = True
    clip_sample_range: Annotated[float, Field(gt=0)] = 1.0
    steps_offset: Annotated[int, Field(ge=0)] = 0
    set_alpha_to_one: bool = True


@dataclass(frozen=True)
class SamplingDefaults:
    """What the checkpoint's scheduler says of sampling."""

    variance: Variance = "fixed_small"
    clip: float | None = 1.0
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    prediction: Prediction = "epsilon"  # what the network's output is

    @property
    def fixed_variance(self) -> FixedVariance:
        """What stands in for a learned variance where none is computed."""
        return "fixed_small" if self.variance == "learned_range" else self.variance


MODEL_INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": DIFFUSERS_VERSION,
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}


def expect_outputs(config: UNetConfig, variance: Variance) -> None:
    """Raises ValueError where a network has other outputs than its variance needs."""
    wanted = config.in_channels * (2 if variance == "learned_range" else 1)
    if config.out_channels != wanted:
        raise ValueError(f"out_channels: {config.out_channels}; {variance} needs {wanted}")


def parse_unet_config(raw: dict[str, Any]) -> UNetConfig:
    """diffusers' config.json -> UNetConfig. Raises CheckpointError naming the key."""
    _refuse_other_values(raw, FIXED_UNET_OPTIONS)
    _refuse_unknown(raw)
    attention = _block_flags(raw, "down_block_types", DOWN_BLOCKS)
    if list(reversed(_block_flags(raw, "up_block_types", UP_BLOCKS))) != attention:
        raise CheckpointError("up_block_types: must mirror down_block_types")
    options = {key: _present(raw, key) for key in UNET_OPTIONS - {"num_class_embeds"}}
    options["num_class_embeds"] = raw.get("num_class_embeds")  # older files do not know it
    options["block_out_channels"] = tuple(_listed(raw, "block_out_channels"))
    try:
        return UNetConfig(**options, attention=tuple(attention))
    except ValidationError as error:
        raise CheckpointError(one_line(error)) from error


def unet_config_json(config: UNetConfig) -> dict[str, Any]:
    """UNetConfig -> diffusers' config.json. Dropout is left out: it is 0 when sampling."""
    down, up = ["DownBlock2D", "AttnDownBlock2D"], ["UpBlock2D", "AttnUpBlock2D"]
    return {
        "_class_name": "UNet2DModel",
        "_diffusers_version": DIFFUSERS_VERSION,
        **FIXED_UNET_OPTIONS,
        "attention_head_dim": config.attention_head_dim,
        "block_out_channels": list(config.block_out_channels),
        "down_block_types": [down[attend] for attend in config.attention],
        "downsample_padding": config.downsample_padding,
        "flip_sin_to_cos": config.flip_sin_to_cos,
        "freq_shift": config.freq_shift,
        "in_channels": config.in_channels,
        "layers_per_block": config.layers_per_block,
        "norm_eps": config.norm_eps,
        "norm_num_groups": config.norm_num_groups,
        "num_class_embeds": config.num_class_embeds,
        "out_channels": config.out_channels,
        "sample_size": config.sample_size,
        "up_block_types": [up[attend] for attend in reversed(config.attention)],
    }


def parse_scheduler_config(raw: dict[str, Any]) -> tuple[NoiseSchedule, SamplingDefaults]:
    """diffusers' scheduler_config.json -> schedule and defaults. Raises CheckpointError."""
    _refuse_other_values(raw, FIXED_SCHEDULER_OPTIONS)
    for key in ("num_train_timesteps", "beta_start", "beta_end"):
        _present(raw, key)
    try:
        read = _Scheduler.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(one_line(error)) from error
    (name,) = (ours for ours, theirs in SCHEDULES.items() if theirs == read.beta_schedule)
    schedule = named_schedule(
        name, read.num_train_timesteps, start=read.beta_start, end=read.beta_end
    )
    return schedule, SamplingDefaults(
        read.variance_type,
        clip=read.clip_sample_range if read.clip_sample else None,
        steps_offset=read.steps_offset,
        set_alpha_to_one=read.set_alpha_to_one,
        prediction=read.prediction_type,
    )


def scheduler_config_json(
    schedule: NoiseSchedule, variance: str, prediction: Prediction
) -> dict[str, Any]:
    """As diffusers' DDPMScheduler config."""
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": DIFFUSERS_VERSION,
        **FIXED_SCHEDULER_OPTIONS,
        "beta_end": schedule.end,
        "beta_schedule": SCHEDULES[schedule.name],
        "beta_start": schedule.start,
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "num_train_timesteps": schedule.T,
        "prediction_type": prediction,
        "steps_offset": 0,
        "timestep_spacing": "leading",
        "variance_type": variance,
    }


def _present(raw: dict[str, Any], key: str) -> Any:
    if key not in raw:
        raise CheckpointError(f"{key}: missing; its value changes the numbers, so none is assumed")
    return raw[key]


def _listed(raw: dict[str, Any], key: str) -> list[Any]:
    found = _present(raw, key)
    if not isinstance(found, list):
        raise CheckpointError(f"{key}: {found!r} is not a list")
    return found


def _refuse_other_values(raw: dict[str, Any], fixed: dict[str, Any]) -> None:
    for key, only in fixed.items():
        if raw.get(key, only) != only:
            raise CheckpointError(f"{key}: {raw[key]!r} is not supported, only {only!r}")


def _refuse_unknown(raw: dict[str, Any]) -> None:
    known = FIXED_UNET_OPTIONS.keys() | UNET_OPTIONS | {"down_block_types", "up_block_types"}
    unknown = raw.keys() - known
    for key in sorted(unknown):
        if not key.startswith("_"):  # diffusers' own notes: class, version
            raise CheckpointError(f"{key}: not known, so it may change the numbers")


def _block_flags(raw: dict[str, Any], key: str, known: dict[str, bool]) -> list[bool]:
    names = _listed(raw, key)
    unknown = [name for name in names if not isinstance(name, str) or name not in known]
    if unknown:
        raise CheckpointError(f"{key}: {unknown[0]!r} is not supported")
    return [known[name] for name in names]
