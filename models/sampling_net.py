"""A trained network made ready to sample: cast once, all T timesteps embedded once.

States stay float32; the precision is that of the network alone. GroupNorm sums thousands of
values: on a CPU it runs in float32, where that is also the faster kernel for channels-last.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from models.blocks import GroupNorm
from models.unet import UNet

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class SamplingNet:
    """eps_theta(x_t, t) for sampling: float32 (B, C, H, W) and int64 (B,) -> float32 like x_t.

    `precision` is a key of DTYPES; tf32 is float32 with torch's switches for it set elsewhere.
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
    ) -> None:
        self.shape = net.config.image_shape
        self.T = T
        self.device = torch.device(device)
        self._dtype = DTYPES[precision]
        with torch.inference_mode():
            table = net.embed(torch.arange(T, device=net.conv_in.weight.device))
        self._shifts = table.to(device, self._dtype)  # (T, sum of the blocks' widths)
        ready = copy.deepcopy(net).eval().requires_grad_(False)
        ready.to(device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device == "cpu":
            _norms_in_float32(ready)
        self._forward: Callable[[Tensor, Tensor], Tensor] = ready.denoise
        if compiled:
            self._forward = torch.compile(ready.denoise, dynamic=False)

    @torch.inference_mode()
    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        x = x_t.to(self._dtype, memory_format=torch.channels_last)
        return self._forward(x, self._shifts[t]).float()


def _norms_in_float32(net: UNet) -> None:
    for module in net.modules():
        if isinstance(module, GroupNorm):
            module.float()
