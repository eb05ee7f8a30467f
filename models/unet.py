"""The paper's U-Net (section 4 and appendix B), with diffusers' UNet2DModel key names.

So `load_state_dict(strict=True)` reads diffusers checkpoints, and diffusers reads ours.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from models.blocks import (
    Attention,
    Downsample,
    GroupNorm,
    ResnetBlock,
    TimestepMLP,
    Upsample,
    timestep_embedding,
)

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class UNetConfig:
    """What the network is. Names and meanings are those of diffusers' config.json.

    Raises pydantic.ValidationError, a ValueError, that names what makes no network.
    """

    sample_size: Count
    in_channels: Count
    out_channels: Count
    block_out_channels: Annotated[tuple[Count, ...], Field(min_length=1)]
    layers_per_block: Annotated[int, Field(ge=1, le=64)]
    attention: tuple[bool, ...]  # per level, shallowest first
    norm_num_groups: Count = 32
    norm_eps: Annotated[float, Field(gt=0)] = 1e-6
    attention_head_dim: Count | None = None  # None: one head
    downsample_padding: Literal[0, 1] = 0
    flip_sin_to_cos: bool = False
    freq_shift: Literal[0, 1] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    num_class_embeds: Count | None = None  # classes, and "none" if there is one; None: no labels
    none_class: bool = True  # whether the last is for "none"; a card tells it, config.json cannot

    def __post_init__(self) -> None:
        levels = len(self.block_out_channels)
        if len(self.attention) != levels:
            raise ValueError(f"attention: {len(self.attention)} entries for {levels} levels")
        if self.sample_size % 2 ** (levels - 1):
            raise ValueError(f"sample_size: {self.sample_size} is not halved {levels - 1} times")
        if self.block_out_channels[0] % 2:
            raise ValueError("block_out_channels: the first must be even, for sines and cosines")
        attended = (*self.attention[:-1], True)  # the middle, as wide as the last, always attends
        for channels, attend in zip(self.block_out_channels, attended, strict=True):
            if channels % self.norm_num_groups:
                raise ValueError(
                    f"norm_num_groups: {self.norm_num_groups} do not divide {channels}"
                )
            if attend and channels % (self.attention_head_dim or channels):
                raise ValueError(f"attention_head_dim: does not divide {channels} channels")

    @property
    def classes(self) -> int:
        """How many can be asked for: all but the one for "none"; 0 where there are no labels."""
        embedded = self.num_class_embeds or 0
        return max(0, embedded - 1) if self.none_class else embedded

    @property
    def labels_needed(self) -> bool:
        """Whether there are classes, and nothing to tell the network of an image of none."""
        return self.classes > 0 and not self.none_class

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.in_channels, self.sample_size, self.sample_size


class _Level(nn.Module):
    """One resolution: residual blocks, each with its attention where the level has any."""

    def __init__(self, c_ins: list[int], c_out: int, *, attend: bool, config: UNetConfig) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_resnet(c_in, c_out, config) for c_in in c_ins)
        if attend:
            self.attentions = nn.ModuleList(_attention(c_out, config) for _ in c_ins)
        self.attend = attend

    def layer(self, i: int, x: Tensor, shifts: Tensor) -> Tensor:
        x = self.resnets[i](x, shifts)
        return self.attentions[i](x) if self.attend else x


class DownBlock(_Level):
    """A level of the way down; returns its output and every activation the way up will need."""

    def __init__(
        self, c_in: int, c_out: int, *, attend: bool, last: bool, config: UNetConfig
    ) -> None:
        c_ins = [c_in] + [c_out] * (config.layers_per_block - 1)
        super().__init__(c_ins, c_out, attend=attend, config=config)
        if not last:
            down = Downsample(c_out, padding=config.downsample_padding)
            self.downsamplers = nn.ModuleList([down])
        self.last = last

    def forward(self, x: Tensor, shifts: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, shifts)
            skips.append(x)
        if not self.last:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class UpBlock(_Level):
    """A level of the way up; each of its blocks takes one skip off the list's end."""

    def __init__(
        self, c_ins: list[int], c_out: int, *, attend: bool, last: bool, config: UNetConfig
    ) -> None:
        super().__init__(c_ins, c_out, attend=attend, config=config)
        if not last:
            self.upsamplers = nn.ModuleList([Upsample(c_out)])
        self.last = last

    def forward(self, x: Tensor, skips: list[Tensor], shifts: Tensor) -> Tensor:
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), shifts)
        return x if self.last else self.upsamplers[0](x)


class MidBlock(nn.Module):
    """Residual, attention, residual; attention whatever the other levels have."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(_resnet(channels, channels, config) for _ in range(2))
        self.attentions = nn.ModuleList([_attention(channels, config)])

    def forward(self, x: Tensor, shifts: Tensor) -> Tensor:
        x = self.attentions[0](self.resnets[0](x, shifts))
        out: Tensor = self.resnets[1](x, shifts)
        return out


class UNet(nn.Module):
    """eps_theta(x_t, t): (B, C, H, W) and (B,) integer timesteps -> (B, C_out, H, W).

    eps_theta(x_t, t, y) where the configuration has classes: y (B,) are their numbers.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.block_out_channels
        temb = 4 * channels[0]
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.time_embedding = TimestepMLP(channels[0], temb)
        if config.num_class_embeds is not None:
            self.class_embedding = nn.Embedding(config.num_class_embeds, temb)
        self.down_blocks = _down_path(config)
        self.mid_block = MidBlock(channels[-1], config)
        self.up_blocks = _up_path(config)
        self.conv_norm_out = GroupNorm(config.norm_num_groups, channels[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels, 3, padding=1)
        self._place_shifts()

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        B = len(x)  # noqa: N806
        assert t.shape == (B,), f"one timestep per row: {tuple(t.shape)} for batch {B}"
        return self.denoise(x, self.embed(t, y))

    def embed(self, t: Tensor, y: Tensor | None = None) -> Tensor:
        """(B,) timesteps -> (B, sum of the blocks' widths): all that the network knows of t and y.

        y (B,) are class numbers, given where the network has classes, and there alone.
        """
        assert (y is None) == (self.config.num_class_embeds is None), "classes: all rows, or none"
        temb = self.embed_time(t)
        return self.project(temb if y is None else temb + self.class_embedding(y))

    def embed_time(self, t: Tensor) -> Tensor:
        """(B,) timesteps -> (B, width): to this, a class adds its own embedding."""
        temb: Tensor = self.time_embedding(self._sinusoids(t).to(self.conv_in.weight.dtype))
        return temb

    def project(self, temb: Tensor) -> Tensor:
        """(B, width) -> (B, sum of the blocks' widths)."""
        temb = F.silu(temb)
        return torch.cat([block.time_emb_proj(temb) for block in self.blocks()], dim=1)

    def denoise(self, x: Tensor, shifts: Tensor) -> Tensor:
        """`forward`, the timesteps already embedded: a sampler embeds all T of them once."""
        x = self.conv_in(x)
        skips = [x]
        for down in self.down_blocks:
            x, more = down(x, shifts)
            skips += more
        x = self.mid_block(x, shifts)
        for up in self.up_blocks:
            x = up(x, skips, shifts)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out

    def blocks(self) -> Iterator[ResnetBlock]:
        """All residual blocks, in the order of `project`."""
        return (module for module in self.modules() if isinstance(module, ResnetBlock))

    def _place_shifts(self) -> None:
        start = 0
        for block in self.blocks():
            block.place = slice(start, start := start + block.time_emb_proj.out_features)

    def _sinusoids(self, t: Tensor) -> Tensor:
        return timestep_embedding(
            t,
            self.config.block_out_channels[0],
            flip_sin_to_cos=self.config.flip_sin_to_cos,
            freq_shift=self.config.freq_shift,
        )


def _down_path(config: UNetConfig) -> nn.ModuleList:
    channels = config.block_out_channels
    pairs = list(pairwise((channels[0], *channels)))
    return nn.ModuleList(
        DownBlock(c_in, c_out, attend=attend, last=i == len(pairs) - 1, config=config)
        for i, ((c_in, c_out), attend) in enumerate(zip(pairs, config.attention, strict=True))
    )


def _up_path(config: UNetConfig) -> nn.ModuleList:
    """Deepest level first; its last block takes the skip that entered the level on the way down."""
    channels = config.block_out_channels
    blocks = []
    below = channels[-1]
    for level in reversed(range(len(channels))):
        c_out = channels[level]
        skips = [c_out] * config.layers_per_block + [channels[max(level - 1, 0)]]
        hidden = [below] + [c_out] * config.layers_per_block
        c_ins = [h + skip for h, skip in zip(hidden, skips, strict=True)]
        attend = config.attention[level]
        blocks.append(UpBlock(c_ins, c_out, attend=attend, last=level == 0, config=config))
        below = c_out
    return nn.ModuleList(blocks)


def _resnet(c_in: int, c_out: int, config: UNetConfig) -> ResnetBlock:
    return ResnetBlock(
        c_in,
        c_out,
        temb=4 * config.block_out_channels[0],
        groups=config.norm_num_groups,
        eps=config.norm_eps,
        dropout=config.dropout,
    )


def _attention(channels: int, config: UNetConfig) -> Attention:
    heads = channels // (config.attention_head_dim or channels)
    return Attention(channels, heads=heads, groups=config.norm_num_groups, eps=config.norm_eps)
