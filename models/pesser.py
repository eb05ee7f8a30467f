"""The layout of the PyTorch ports of the paper's own networks, from which google/ddpm-* come.

    temb.dense.{0,1}   conv_in   mid.{block_1,attn_1,block_2}   norm_out   conv_out
    {down,up}.{level}.block.{j}.{norm1,conv1,temb_proj,norm2,conv2,nin_shortcut}
    {down,up}.{level}.attn.{j}.{norm,q,k,v,proj_out}              1x1 convolutions
    down.{level}.downsample.conv   up.{level}.upsample.conv

`level` counts from the largest resolution on both ways; diffusers counts the way up from the
smallest. What the names do not tell is the ports' constant: 32 groups, eps 1e-6, one head, padding
right and below, sines before cosines; they are UNetConfig's defaults.
"""

import re
from collections.abc import Callable, Iterable

from torch import Tensor

from models.unet import UNetConfig

FIXED = {
    "temb.dense.0": "time_embedding.linear_1",
    "temb.dense.1": "time_embedding.linear_2",
    "conv_in": "conv_in",
    "mid.block_1": "mid_block.resnets.0",
    "mid.attn_1": "mid_block.attentions.0",
    "mid.block_2": "mid_block.resnets.1",
    "norm_out": "conv_norm_out",
    "conv_out": "conv_out",
}
RESNET = {"temb_proj": "time_emb_proj", "nin_shortcut": "conv_shortcut"} | {
    same: same for same in ("norm1", "conv1", "norm2", "conv2")
}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
PARTS = {"block": ("resnets", RESNET), "attn": ("attentions", ATTENTION)}
MIDDLE = re.compile(r"(mid\.(block|attn)_\d)\.(\w+)\.(weight|bias)")
LEVEL = re.compile(r"(down|up)\.(\d+)\.(block|attn)\.(\d+)\.(\w+)\.(weight|bias)")
CONV1 = "down.{}.block.{}.conv1.weight"
OPENAI, W86763777 = "openai/guided-diffusion and improved-diffusion", "w86763777/pytorch-ddpm"
OTHER_LAYOUTS = {  # by how names begin that only they have
    "input_blocks.": OPENAI,
    "downblocks.": W86763777,
    "net_model": W86763777,  # of its training checkpoints, which hold networks by name
    "ema_model": W86763777,
    "down_blocks.": "diffusers",
}
RESAMPLE = re.compile(r"(down|up)\.(\d+)\.(downsample|upsample)\.conv\.(weight|bias)")


def diffusers_names(weights: dict[str, Tensor], *, levels: int) -> dict[str, Tensor]:
    """The same tensors under UNet2DModel's names; an unknown name is kept.

    Raises ValueError where two names mean the same.
    """
    renamed = under_new_names(weights, lambda name: _renamed(name, levels))
    return {
        name: tensor.flatten(1) if ".attentions." in name and tensor.ndim > 1 else tensor
        for name, tensor in renamed.items()
    }


def config_of(weights: dict[str, Tensor], *, sample_size: int) -> UNetConfig:
    """What the network was, from names and shapes. Raises ValueError: not this layout."""
    refuse_other_layouts(weights)
    widths = list[int]()
    while (conv1 := CONV1.format(len(widths), 0)) in weights:
        widths.append(_kernel(weights, conv1)[0])
    if not widths or "conv_in.weight" not in weights:
        raise ValueError(f"no names like {CONV1.format(0, 0)}: another layout")
    channels = _kernel(weights, "conv_in.weight")[1]
    return UNetConfig(
        sample_size=sample_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(widths),
        layers_per_block=sum(CONV1.format(0, j) in weights for j in range(99)),
        attention=tuple(f"down.{i}.attn.0.q.weight" in weights for i in range(len(widths))),
    )


def refuse_other_layouts(names: Iterable[object]) -> None:
    """Raises ValueError naming whose layout it is, where these names tell."""
    for name in names:
        for beginning, whose in OTHER_LAYOUTS.items():
            if str(name).startswith(beginning):
                raise ValueError(f"{name!r} is of {whose}: another layout, not converted")


def under_new_names(weights: dict[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """The same tensors, renamed. Raises ValueError where two of them would have one name."""
    old_names = dict[str, str]()
    for name in weights:
        first = old_names.setdefault(rename(name), name)
        if first != name:
            raise ValueError(f"{first!r} and {name!r}: one tensor under two names")
    return {new: weights[old] for new, old in old_names.items()}


def _kernel(weights: dict[str, Tensor], name: str) -> tuple[int, ...]:
    """The shape (C_out, C_in, h, w) of a convolution. Raises ValueError where it is none."""
    shape = tuple(weights[name].shape)
    if len(shape) != 4 or not all(shape):
        raise ValueError(f"{name}: {shape} is no convolution's shape")
    return shape


def _renamed(name: str, levels: int) -> str:
    if found := LEVEL.fullmatch(name):
        way, level, kind, j, part, suffix = found.groups()
        group, parts = PARTS[kind]
        return f"{_block(way, int(level), levels)}.{group}.{j}.{parts.get(part, part)}.{suffix}"
    if found := RESAMPLE.fullmatch(name):
        way, level, kind, suffix = found.groups()
        return f"{_block(way, int(level), levels)}.{kind}rs.0.conv.{suffix}"
    if found := MIDDLE.fullmatch(name):
        place, kind, part, suffix = found.groups()
        return f"{FIXED.get(place, place)}.{PARTS[kind][1].get(part, part)}.{suffix}"
    stem, dot, suffix = name.rpartition(".")
    return f"{FIXED.get(stem, stem)}{dot}{suffix}"


def _block(way: str, level: int, levels: int) -> str:
    return f"{way}_blocks.{level if way == 'down' else levels - 1 - level}"
