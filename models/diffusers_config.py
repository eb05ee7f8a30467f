"""diffusers' config.json of a UNet2DModel, read and written.

Every key that changes numbers is required or refused by name: UNet2DModel's own defaults differ
from the paper's in five places, so a missing key must never be guessed.
"""

from collections.abc import Set
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from models.faults import one_line
from models.plan import Variance
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
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "num_train_timesteps": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
# UNet2DModel options of any value that makes a network, under UNetConfig's own names.
UNET_OPTIONS = {f.name for f in fields(UNetConfig)} - {"attention", "dropout", "none_class"}
DOWN_BLOCKS = {"DownBlock2D": False, "AttnDownBlock2D": True}
UP_BLOCKS = {"UpBlock2D": False, "AttnUpBlock2D": True}
EMA_NOTES = {  # what EMAModel writes beside an average's network: how it was averaged
    *("decay", "min_decay", "inv_gamma", "power", "use_ema_warmup"),
    *("optimization_step", "update_after_step"),
}
IGNORED = {"dropout"} | EMA_NOTES  # in training only
KNOWN = FIXED_UNET_OPTIONS.keys() | UNET_OPTIONS | IGNORED | {"down_block_types", "up_block_types"}


class CheckpointError(ValueError):
    """The folder is not a checkpoint that can be read; the message names the file and the key."""


def expect_outputs(config: UNetConfig, variance: Variance) -> None:
    """Raises ValueError where a network has other outputs than its variance needs."""
    wanted = config.in_channels * (2 if variance == "learned_range" else 1)
    if config.out_channels != wanted:
        raise ValueError(f"out_channels: {config.out_channels}; {variance} needs {wanted}")


def parse_unet_config(raw: dict[str, Any]) -> UNetConfig:
    """diffusers' config.json -> UNetConfig. Raises CheckpointError naming the key."""
    raw = _in_our_words(raw)
    expect_values(raw, FIXED_UNET_OPTIONS)
    expect_known(raw, KNOWN)
    attention = _block_flags(raw, "down_block_types", DOWN_BLOCKS)
    if list(reversed(_block_flags(raw, "up_block_types", UP_BLOCKS))) != attention:
        raise CheckpointError("up_block_types: must mirror down_block_types")
    options = {key: present(raw, key) for key in UNET_OPTIONS - {"num_class_embeds"}}
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
        "dropout": 0.0,
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


def present(raw: dict[str, Any], key: str) -> Any:
    """What a file says of a key. Raises CheckpointError where it says nothing."""
    if key not in raw:
        raise CheckpointError(f"{key}: missing; its value changes the numbers, so none is assumed")
    return raw[key]


def expect_values(raw: dict[str, Any], fixed: dict[str, Any]) -> None:
    """Raises CheckpointError for a key that has another value than the only one read here."""
    for key, only in fixed.items():
        if raw.get(key, only) != only:
            told = repr(raw[key])
            told = told if len(told) < 80 else f"{told[:60]}..."
            raise CheckpointError(f"{key}: {told} is not supported, only {only!r}")


def expect_known(raw: dict[str, Any], known: Set[str]) -> None:
    """Raises CheckpointError for any other key, but diffusers' own notes: class, version."""
    for key in sorted(raw.keys() - known):
        if not key.startswith("_"):
            raise CheckpointError(f"{key}: not known, so it may change the numbers")


def _in_our_words(raw: dict[str, Any]) -> dict[str, Any]:
    """Where diffusers has two words for the same: swish is silu, a square is told by its side."""
    ours = dict(raw)
    if raw.get("act_fn") == "swish":
        ours["act_fn"] = "silu"
    match raw.get("sample_size"):
        case [height, width] if height == width:
            ours["sample_size"] = height
    return ours


def _listed(raw: dict[str, Any], key: str) -> list[Any]:
    found = present(raw, key)
    if not isinstance(found, list):
        raise CheckpointError(f"{key}: {found!r} is not a list")
    return found


def _block_flags(raw: dict[str, Any], key: str, known: dict[str, bool]) -> list[bool]:
    names = _listed(raw, key)
    unknown = [name for name in names if not isinstance(name, str) or name not in known]
    if unknown:
        raise CheckpointError(f"{key}: {unknown[0]!r} is not supported")
    return [known[name] for name in names]
