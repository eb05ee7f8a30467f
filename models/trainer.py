"""One training step after another: L_simple, Adam, warm-up, clipping, EMA; resumable to the bit."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.diffusion import Denoiser, l_simple
from models.ema import EMA
from models.pixels import from_uint8
from models.schedule import NoiseSchedule, linear_schedule
from models.train_config import TrainConfig
from models.unet import UNet


@dataclass(eq=False)
class Trainer:
    """Everything a run carries from step to step; `state_dict` is all of it that is saved."""

    config: TrainConfig
    device: torch.device
    compiled: bool = False
    images_seen: int = 0
    seconds: float = 0.0  # of training, over all sittings
    schedule: NoiseSchedule = field(init=False)
    net: UNet = field(init=False)

    def __post_init__(self) -> None:
        optimiser = self.config.optimiser
        torch.manual_seed(optimiser.seed)
        self.schedule = linear_schedule(self.config.T)
        self.alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float().to(self.device)
        self.net = zero_last_layers(UNet(self.config.network)).to(self.device)
        self.forward: Denoiser = torch.compile(self.net) if self.compiled else self.net
        self.adam = torch.optim.Adam(
            self.net.parameters(), lr=optimiser.learning_rate, betas=(0.9, 0.999), fused=True
        )
        self.ema = EMA(self.net, optimiser.ema_decay)

    def step(self, pixels: Tensor) -> Tensor:
        """One Adam step on a batch of uint8 images; the loss stays on the device.

        Its draws, dropout's too, follow from (seed, images seen): nothing of them is saved.
        """
        torch.manual_seed(self.config.optimiser.seed * 1_000_003 + self.images_seen)
        rate = self.config.optimiser.rate_at(self.images_seen)
        for group in self.adam.param_groups:
            group["lr"] = rate
        loss = self.loss(pixels.to(self.device))
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.optimiser.grad_clip)
        self.adam.step()
        self.ema.update(self.net)
        self.images_seen += len(pixels)
        return loss.detach()

    def loss(self, pixels: Tensor) -> Tensor:
        """L_simple at uniformly drawn timesteps."""
        x_0 = from_uint8(pixels)
        if self.config.optimiser.flip:
            mirrored = torch.rand(len(x_0), device=self.device) < 0.5
            x_0 = torch.where(mirrored[:, None, None, None], x_0.flip(-1), x_0)
        t = torch.randint(self.schedule.T, (len(x_0),), device=self.device)
        eps = torch.randn_like(x_0)
        autocast = self.config.optimiser.autocast == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            return l_simple(self.forward, x_0, t, self.alpha_bar, eps)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on to the bit: weights, moments, average."""
        return {
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
            "ema": self.ema.state_dict(),
            "images_seen": self.images_seen,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises RuntimeError where the network is another one."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.ema.load_state_dict(state["ema"])
        self.images_seen, self.seconds = state["images_seen"], state["seconds"]


def zero_last_layers(net: UNet) -> UNet:
    """Residual branches and the output start at zero, so that each block starts as the identity."""
    for name, module in net.named_modules():
        if name.endswith(("conv2", "to_out.0", "conv_out")):
            assert isinstance(module, nn.Conv2d | nn.Linear)
            nn.init.zeros_(module.weight)
    return net
