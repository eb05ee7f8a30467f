"""A network in the ports' own module layout, written from its names alone: what a converted
checkpoint is held to. Slow, small, nothing shared with models/."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Weights = dict[str, Tensor]


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, temb: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(c_in), norm(c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.temb_proj = nn.Linear(temb, c_out)
        self.nin_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        out: Tensor = h + (self.nin_shortcut(x) if self.nin_shortcut else x)
        return out


class Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (part(h).flatten(2) for part in (self.q, self.k, self.v))  # B C N
        weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * x.shape[1] ** -0.5, dim=-1)
        out: Tensor = self.proj_out(torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape))
        return x + out


class Resample(nn.Module):
    def __init__(self, channels: int, *, down: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2 if down else 1, 0 if down else 1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(
            F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, None, 2.0)
        )
        return out


class PortedNet(nn.Module):
    """eps(x_t, t); attention at one level and in the middle."""

    temb: Any
    down: Any
    up: Any
    mid: Any

    def __init__(
        self, channels: int = 1, width: int = 32, mult: tuple[int, ...] = (1, 2, 1), attend: int = 1
    ) -> None:
        super().__init__()
        widths, temb, layers = [width * m for m in mult], 4 * width, 2
        self.width, self.levels = width, len(widths)
        self.temb = nn.Module()
        self.temb.dense = nn.ModuleList([nn.Linear(width, temb), nn.Linear(temb, temb)])
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1)
        skips, c = [width], width
        self.down, self.up, self.mid = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for i, c_out in enumerate(widths):
            level: Any = nn.Module()
            level.block = nn.ModuleList(
                Block(c_out if j else c, c_out, temb) for j in range(layers)
            )
            level.attn = nn.ModuleList(Attention(c_out) for _ in range(layers * (i == attend)))
            if i < self.levels - 1:
                level.downsample = Resample(c_out, down=True)
            c, skips = c_out, skips + [c_out] * (layers + (i < self.levels - 1))
            self.down.append(level)
        self.mid.block_1, self.mid.attn_1 = Block(c, c, temb), Attention(c)
        self.mid.block_2 = Block(c, c, temb)
        for i in reversed(range(self.levels)):
            level, blocks = nn.Module(), list[nn.Module]()
            for _ in range(layers + 1):
                blocks.append(Block(c + skips.pop(), widths[i], temb))
                c = widths[i]
            level.block = nn.ModuleList(blocks)
            level.attn = nn.ModuleList(Attention(c) for _ in range((layers + 1) * (i == attend)))
            if i:
                level.upsample = Resample(c, down=False)
            self.up.insert(0, level)
        self.norm_out, self.conv_out = norm(c), nn.Conv2d(c, channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        half = self.width // 2
        freqs = torch.exp(torch.arange(half) * (-math.log(10_000) / (half - 1)))
        angles = t[:, None] * freqs[None]
        temb = self.temb.dense[0](torch.cat([angles.sin(), angles.cos()], dim=1))
        temb = self.temb.dense[1](F.silu(temb))
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for j, block in enumerate(level.block):
                h = block(h, temb)
                h = level.attn[j](h) if len(level.attn) else h
                skips.append(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)
                skips.append(h)
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h, temb)), temb)
        for level in reversed(self.up):
            for j, block in enumerate(level.block):
                h = block(torch.cat([h, skips.pop()], dim=1), temb)
                h = level.attn[j](h) if len(level.attn) else h
            if hasattr(level, "upsample"):
                h = level.upsample(h)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out
