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
RESAMPLE = re.compile(r"(down|up)\.(\d+)\.(downsample|upsample)\.conv\.(weight|bias)")


def diffusers_names(weights: dict[str, Tensor], *, levels: int) -> dict[str, Tensor]:
    """The same tensors under UNet2DModel's names. An unknown name is kept, for a strict load."""
    renamed = {_renamed(name, levels): tensor for name, tensor in weights.items()}
    return {
        name: tensor.flatten(1) if ".attentions." in name and tensor.ndim > 1 else tensor
        for name, tensor in renamed.items()
    }


def config_of(weights: dict[str, Tensor], *, sample_size: int) -> UNetConfig:
    """What the network was, from names and shapes. Raises ValueError: not this layout."""
    widths = list[int]()
    while f"down.{len(widths)}.block.0.conv1.weight" in weights:
        widths.append(weights[f"down.{len(widths)}.block.0.conv1.weight"].shape[0])
    if not widths or "conv_in.weight" not in weights:
        raise ValueError("no names like down.0.block.0.conv1.weight: another layout")
    return UNetConfig(
        sample_size=sample_size,
        in_channels=weights["conv_in.weight"].shape[1],
        out_channels=weights["conv_in.weight"].shape[1],
        block_out_channels=tuple(widths),
        layers_per_block=sum(f"down.0.block.{j}.conv1.weight" in weights for j in range(99)),
        attention=tuple(f"down.{i}.attn.0.q.weight" in weights for i in range(len(widths))),
    )


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
    stem, _, suffix = name.rpartition(".")
    return f"{FIXED.get(stem, stem)}.{suffix}"


def _block(way: str, level: int, levels: int) -> str:
    return f"{way}_blocks.{level if way == 'down' else levels - 1 - level}"
