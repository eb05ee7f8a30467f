"""A trained network made ready to sample: cast once, all T timesteps embedded once.

States stay float32; the precision is that of the network alone. GroupNorm sums thousands of
values: on a CPU it runs in float32, where that is also the faster kernel for channels-last.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from models.blocks import GroupNorm
from models.unet import UNet

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def expect_precision(precision: str, device: str) -> None:
    """Raises ValueError for tf32 where no CUDA device is to compute it."""
    if precision == "tf32" and torch.device(device).type != "cuda":
        raise ValueError("precision: tf32 needs a CUDA device")


def use_precision(precision: str, device: str) -> None:
    """Set torch's switches for TF32, in all of this process, to what a precision says.

    Left alone, the one for convolutions is on: float32 would not be float32. Raises ValueError.
    """
    expect_precision(precision, device)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


class SamplingNet:
    """eps_theta(x_t, t, y) for sampling: float32 (B, C, H, W) and int64 (B,) -> float32 like x_t.

    y (B,) are class numbers, `none` (the default) for no class; a network without classes does not
    look at them. One that has nothing for "none" must be told them: `none` is any of its classes
    then, for rows that nobody looks at.

    Of a network that tells variances too, what it says of them is left out, and not computed;
    `learned` keeps it: then (B, 2C, H, W).

    `precision` is a key of DTYPES; what tells tf32 from float32 is `use_precision`.
    `compiled` runs the network through torch.compile, once for each batch size it meets.
    """

    def __init__(
        self,
        net: UNet,
        T: int,  # noqa: N803
        *,
        device: str,
        precision: str = "float32",
        compiled: bool = False,
        learned: bool = False,
    ) -> None:
        self.shape = net.config.image_shape
        self.T = T
        self.device = torch.device(device)
        self._dtype = DTYPES[precision]
        classes = net.config.num_class_embeds
        self.none, self._labels_needed = (classes or 1) - 1, net.config.labels_needed
        with torch.inference_mode():
            told = _ByTimeAndClass(net, T) if classes else _ByTime(net, T).to(self._dtype)
        self._told = told.to(device)
        ready = copy.deepcopy(net).eval().requires_grad_(False)
        if not learned:
            _without_variance(ready)
        ready.to(device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device == "cpu":
            _norms_in_float32(ready)
        self._forward: Callable[[Tensor, Tensor], Tensor] = ready.denoise
        if compiled:
            self._forward = torch.compile(ready.denoise, dynamic=False)

    @torch.inference_mode()
    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        x = x_t.to(self._dtype, memory_format=torch.channels_last)
        told = self._told(t, self._of_none(t) if y is None else y)
        return self._forward(x, told.to(self._dtype)).float()

    def _of_none(self, t: Tensor) -> Tensor:
        """(B,) numbers of no class. Raises ValueError where every one is a class's."""
        if self._labels_needed:
            raise ValueError(
                'the network has no class for "none": every image needs a label, and guidance 1'
            )
        return torch.full_like(t, self.none)


class _ByTime(nn.Module):
    """What all blocks are told of t, for every t there is: one look-up a step."""

    table: Tensor  # (T, sum of the blocks' widths)

    def __init__(self, net: UNet, T: int) -> None:  # noqa: N803
        super().__init__()
        t = torch.arange(T, device=net.conv_in.weight.device)
        self.register_buffer("table", net.embed(t))

    def forward(self, t: Tensor, _y: Tensor) -> Tensor:
        return self.table[t]


class _ByTimeAndClass(nn.Module):
    """The same of t and y: projected anew, for a table of every pair could fill a device."""

    of_t: Tensor  # (T, width)
    of_y: Tensor  # (classes, width)
    weight: Tensor  # (sum of the blocks' widths, width)
    bias: Tensor

    def __init__(self, net: UNet, T: int) -> None:  # noqa: N803
        super().__init__()
        t = torch.arange(T, device=net.conv_in.weight.device)
        self.register_buffer("of_t", net.embed_time(t))
        self.register_buffer("of_y", net.class_embedding.weight.detach().clone())
        projections = [block.time_emb_proj for block in net.blocks()]
        self.register_buffer("weight", torch.cat([p.weight.detach() for p in projections]))
        self.register_buffer("bias", torch.cat([p.bias.detach() for p in projections]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return F.linear(F.silu(self.of_t[t] + self.of_y[y]), self.weight, self.bias)


def _without_variance(net: UNet) -> None:
    channels = net.config.in_channels
    for name, values in list(net.conv_out.named_parameters()):
        setattr(net.conv_out, name, nn.Parameter(values[:channels], requires_grad=False))


def _norms_in_float32(net: UNet) -> None:
    for module in net.modules():
        if isinstance(module, GroupNorm):
            module.float()
