"""The parts of the paper's U-Net. Attribute names are diffusers' key names: see `unet`."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def timestep_embedding(t: Tensor, dim: int, *, flip_sin_to_cos: bool, freq_shift: int) -> Tensor:
    """(B,) timesteps -> (B, dim) sinusoids, [sin | cos] unless flipped; always float32.

    The paper's code divides the exponent by (dim/2 - 1): freq_shift = 1.
    """
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t.device) / (half - freq_shift)
    angle = t.float()[:, None] * torch.exp(-math.log(10000.0) * exponent)
    first, second = torch.sin(angle), torch.cos(angle)
    return torch.cat([second, first] if flip_sin_to_cos else [first, second], dim=-1)


class TimestepMLP(nn.Module):
    """Linear, SiLU, Linear: (B, dim_in) -> (B, dim)."""

    def __init__(self, dim_in: int, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(dim_in, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(x)))
        return out


class GroupNorm(nn.GroupNorm):
    """In the precision of its own parameters: those of a network in bfloat16 may be float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class ResnetBlock(nn.Module):
    """norm-SiLU-conv, plus the time embedding, norm-SiLU-dropout-conv, plus the input.

    `shifts` (B, sum over blocks of c_out) are the time embedding as all blocks of the network
    need it; this one's are at `place`.
    """

    place = slice(0)  # set by the network

    def __init__(
        self, c_in: int, c_out: int, *, temb: int, groups: int, eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, c_in, eps=eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb, c_out)
        self.norm2 = GroupNorm(groups, c_out, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else None

    def forward(self, x: Tensor, shifts: Tensor) -> Tensor:
        h: Tensor = self.conv1(F.silu(self.norm1(x), inplace=True))
        h += shifts[:, self.place, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h), inplace=True)))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        h += x
        return h


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, all (B, heads, N, d).

    torch's fused kernel for CPUs computes in float32 whatever it is given; a few hundred pixels
    are faster in two products of the given precision.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    weights = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)
    return weights @ v


class Attention(nn.Module):
    """Self-attention over the pixels of one image, with its norm and residual."""

    def __init__(self, channels: int, *, heads: int, groups: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.group_norm = GroupNorm(groups, channels, eps=eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape  # noqa: N806
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H*W, C)
        out = attend(
            self._split(self.to_q(tokens)),
            self._split(self.to_k(tokens)),
            self._split(self.to_v(tokens)),
        )
        out = self.to_out[0](out.transpose(1, 2).reshape(B, H * W, C))
        residual: Tensor = out.transpose(1, 2).reshape(B, C, H, W)
        return x + residual

    def _split(self, tokens: Tensor) -> Tensor:
        B, N, C = tokens.shape  # noqa: N806
        return tokens.reshape(B, N, self.heads, C // self.heads).transpose(1, 2)


class Downsample(nn.Module):
    """3x3 convolution of stride 2; padding 0 means TensorFlow's SAME: right and bottom by one."""

    def __init__(self, channels: int, *, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.padding == 0 else x)
        return out


class Upsample(nn.Module):
    """Nearest neighbour x 2, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
