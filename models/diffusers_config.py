"""diffusers' config files, read and written: UNet2DModel, DDPMScheduler, DDIMScheduler.

Every key that changes numbers is required or refused by name: UNet2DModel's own defaults differ
from the paper's in five places, so a missing key must never be guessed.
"""

from dataclasses import dataclass
from typing import Any

from models.schedule import NoiseSchedule, linear_schedule
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
    "num_class_embeds": None,
    "num_train_timesteps": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
# Scheduler options with one readable value; those of fast samplers are the sampler plan's own.
FIXED_SCHEDULER_OPTIONS: dict[str, Any] = {
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "thresholding": False,
    "trained_betas": None,
}
DOWN_BLOCKS = {"DownBlock2D": False, "AttnDownBlock2D": True}
UP_BLOCKS = {"UpBlock2D": False, "AttnUpBlock2D": True}


class CheckpointError(ValueError):
    """The folder is not a checkpoint that can be read; the message names the file and the key."""


@dataclass(frozen=True)
class SamplingDefaults:
    """What the checkpoint's scheduler says of sampling."""

    variance: str = "fixed_small"
    clip: float | None = 1.0
    steps_offset: int = 0
    set_alpha_to_one: bool = True


MODEL_INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": DIFFUSERS_VERSION,
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}


def parse_unet_config(raw: dict[str, Any]) -> UNetConfig:
    """diffusers' config.json -> UNetConfig. Raises CheckpointError naming the key."""
    _refuse_other_values(raw, FIXED_UNET_OPTIONS)
    attention = _block_flags(raw, "down_block_types", DOWN_BLOCKS)
    if list(reversed(_block_flags(raw, "up_block_types", UP_BLOCKS))) != attention:
        raise CheckpointError("up_block_types: must mirror down_block_types")
    try:
        return UNetConfig(
            sample_size=_required(raw, "sample_size", int),
            in_channels=_required(raw, "in_channels", int),
            out_channels=_required(raw, "out_channels", int),
            block_out_channels=tuple(_required(raw, "block_out_channels", list)),
            layers_per_block=_required(raw, "layers_per_block", int),
            attention=tuple(attention),
            norm_num_groups=_required(raw, "norm_num_groups", int),
            norm_eps=float(_required(raw, "norm_eps", (int, float))),
            attention_head_dim=_required(raw, "attention_head_dim", (int, type(None))),
            downsample_padding=_required(raw, "downsample_padding", int),
            flip_sin_to_cos=_required(raw, "flip_sin_to_cos", bool),
            freq_shift=_required(raw, "freq_shift", int),
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(str(error)) from error


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
        "out_channels": config.out_channels,
        "sample_size": config.sample_size,
        "up_block_types": [up[attend] for attend in reversed(config.attention)],
    }


def parse_scheduler_config(raw: dict[str, Any]) -> tuple[NoiseSchedule, SamplingDefaults]:
    """diffusers' scheduler_config.json -> schedule and defaults. Raises CheckpointError."""
    _refuse_other_values(raw, FIXED_SCHEDULER_OPTIONS)
    variance = raw.get("variance_type", "fixed_small")
    if variance not in ("fixed_small", "fixed_large"):
        raise CheckpointError(f"variance_type: {variance!r} is not supported")
    schedule = linear_schedule(
        _required(raw, "num_train_timesteps", int),
        start=_required(raw, "beta_start", float),
        end=_required(raw, "beta_end", float),
    )
    clip = float(raw.get("clip_sample_range", 1.0)) if raw.get("clip_sample", True) else None
    offset, to_one = raw.get("steps_offset", 0), raw.get("set_alpha_to_one", True)
    return schedule, SamplingDefaults(variance, clip, offset, to_one)


def scheduler_config_json(schedule: NoiseSchedule, variance: str) -> dict[str, Any]:
    """A linear schedule as diffusers' DDPMScheduler config."""
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": DIFFUSERS_VERSION,
        **FIXED_SCHEDULER_OPTIONS,
        "beta_end": float(schedule.beta[-1]),
        "beta_start": float(schedule.beta[0]),
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "num_train_timesteps": schedule.T,
        "steps_offset": 0,
        "timestep_spacing": "leading",
        "variance_type": variance,
    }


def _required(raw: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    if key not in raw:
        raise CheckpointError(f"{key}: missing; its value changes the numbers, so none is assumed")
    if not isinstance(raw[key], kind) or (isinstance(raw[key], bool) and kind is not bool):
        raise CheckpointError(f"{key}: {raw[key]!r} is not of the expected type")
    return raw[key]


def _refuse_other_values(raw: dict[str, Any], fixed: dict[str, Any]) -> None:
    for key, only in fixed.items():
        if raw.get(key, only) != only:
            raise CheckpointError(f"{key}: {raw[key]!r} is not supported, only {only!r}")


def _block_flags(raw: dict[str, Any], key: str, known: dict[str, bool]) -> list[bool]:
    names = _required(raw, key, list)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CheckpointError(f"{key}: {unknown[0]!r} is not supported")
    return [known[name] for name in names]
