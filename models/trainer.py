"""One training step after another: loss, Adam, warm-up, clipping, EMA; resumable to the bit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.diffusion import Denoiser, q_sample
from models.ema import EMA
from models.initialisation import initialise
from models.objective import objective_of
from models.pixels import from_uint8
from models.processes import Processes
from models.schedule import NoiseSchedule, named_schedule
from models.train_config import TrainConfig
from models.unet import UNet

AUTOCAST = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Past:
    """What weights had learned from before the run: images, and seconds of training."""

    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch in [-1, 1] (B, C, H, W), its timesteps (B,), its noise, its classes if it has any."""

    x_0: Tensor
    t: Tensor
    eps: Tensor
    y: Tensor | None


@dataclass(eq=False)
class Trainer:
    """Everything a run carries from step to step; `state_dict` is all of it that is saved."""

    config: TrainConfig
    device: torch.device
    compiled: bool = False
    processes: Processes = Processes()
    images_seen: int = 0
    seconds: float = 0.0  # of training, over all sittings
    past: Past | None = Past()  # None: nobody knows
    schedule: NoiseSchedule = field(init=False)
    net: UNet = field(init=False)

    def __post_init__(self) -> None:
        optimiser = self.config.optimiser
        self.processes.shares(optimiser.batch, optimiser.accumulate)  # or refuse
        torch.manual_seed(optimiser.seed)
        self.schedule = named_schedule(
            self.config.schedule,
            self.config.T,
            start=self.config.beta_start,
            end=self.config.beta_end,
        )
        self.objective = objective_of(self.config, self.schedule, self.device)
        self.alpha_bar = torch.from_numpy(self.schedule.alpha_bar).float().to(self.device)
        self.net = initialise(UNet(self.config.network)).to(self.device)
        self.forward: Callable[..., Tensor] = torch.compile(self.net) if self.compiled else self.net
        self.adam = torch.optim.Adam(
            self.net.parameters(), lr=optimiser.learning_rate, betas=(0.9, 0.999), fused=True
        )
        self.ema = EMA(self.net, optimiser.ema_decay, warmup=optimiser.ema_warmup)
        half = optimiser.autocast == "float16"  # whose small gradients would vanish
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def step(self, pixels: Tensor, labels: Tensor | None = None) -> Tensor:
        """One Adam step on a batch of uint8 images; its loss stays on the device.

        `labels` (B,) are given where the network has classes. The step's draws follow from
        (seed, images seen): nothing of them is saved.
        """
        optimiser = self.config.optimiser
        seed = optimiser.seed * 1_000_003 + self.images_seen
        for group in self.adam.param_groups:
            group["lr"] = optimiser.rate_at(self.images_seen)
        self.adam.zero_grad()
        loss = self._accumulate(self.drawn(pixels, labels, seed), seed)
        self.processes.add_up([p.grad for p in self.net.parameters() if p.grad is not None])
        self.scaler.unscale_(self.adam)
        nn.utils.clip_grad_norm_(self.net.parameters(), optimiser.grad_clip)
        self.scaler.step(self.adam)
        self.scaler.update()
        self.ema.update(self.net, self.images_seen // len(pixels))
        self.images_seen += len(pixels)
        self.processes.add_up([loss])
        return loss

    def drawn(self, pixels: Tensor, labels: Tensor | None, seed: int) -> "Drawn":
        """A batch with all that chance decides of it, in every process the same."""
        torch.manual_seed(seed)
        optimiser, rows = self.config.optimiser, len(pixels)
        x_0 = from_uint8(pixels.to(self.device))
        if optimiser.flip:
            mirrored = torch.rand(rows, device=self.device) < 0.5
            x_0 = torch.where(mirrored[:, None, None, None], x_0.flip(-1), x_0)
        t = torch.randint(self.schedule.T, (rows,), device=self.device)
        eps, y = torch.randn_like(x_0), None
        if labels is not None:
            none = (self.config.network.num_class_embeds or 0) - 1
            left_out = torch.rand(rows, device=self.device) < optimiser.label_dropout
            y = torch.where(left_out, none, labels.to(self.device))
        return Drawn(x_0, t, eps, y)

    def _accumulate(self, batch: "Drawn", seed: int) -> Tensor:
        """Gradients of this process's share of the batch's mean loss, part by part; its sum."""
        rows, total = len(batch.t), torch.zeros((), device=self.device)
        for part in self.processes.shares(rows, self.config.optimiser.accumulate):
            torch.manual_seed(-1 - seed - part.start)  # dropout's own; those from 0 up are taken
            loss = self.losses(batch, part).sum() / rows
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def losses(self, batch: "Drawn", rows: slice = slice(None)) -> Tensor:
        """The configured objective of some rows (B,); L_simple unless told otherwise."""
        x_0, t, eps = batch.x_0[rows], batch.t[rows], batch.eps[rows]
        y = None if batch.y is None else batch.y[rows]
        net: Denoiser = self.forward if y is None else lambda x_t, t: self.forward(x_t, t, y)
        with self.autocast():
            out = net(q_sample(x_0, self.alpha_bar[t], eps), t)
        return self.objective(out.float(), x_0, t, eps)

    def autocast(self) -> torch.autocast:
        """The configured precision, for whatever runs the network."""
        dtype = AUTOCAST[self.config.optimiser.autocast]
        return torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32)

    @property
    def rows_at_a_time(self) -> int:
        """Of a batch, as many as go through the network at once."""
        optimiser = self.config.optimiser
        return optimiser.batch // (self.processes.count * optimiser.accumulate)

    def finite(self) -> bool:
        """Whether every weight is a number still."""
        return bool(torch.stack([p.isfinite().all() for p in self.net.parameters()]).all())

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on to the bit: weights, moments, average."""
        return {
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
            "ema": self.ema.state_dict(),
            "scaler": self.scaler.state_dict(),
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "past": None if self.past is None else (self.past.images, self.past.seconds),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises RuntimeError where the network is another one."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.ema.load_state_dict(state["ema"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.images_seen, self.seconds = state["images_seen"], state["seconds"]
        unsaid = None if self.config.start_from else (0, 0.0)  # by states of old
        past = state.get("past", unsaid)
        self.past = None if past is None else Past(*past)
