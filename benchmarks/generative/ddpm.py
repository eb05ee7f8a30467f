"""The DDPM as a contestant: trained afresh by the project's own trainer, or as it ships."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.generative.contest import parameters_of
from models.checkpoint import Checkpoint
from models.pixels import expect_finite, to_uint8
from models.plan import Prediction, ddim_plan
from models.sample import sample_batch
from models.sampling_net import SamplingNet
from models.schedule import NoiseSchedule
from models.train_config import TrainConfig
from models.trainer import Trainer
from models.unet import UNet


class Ddpm:
    """A configuration's network and objective. The rate does not fall: how far the clock lets it
    come is not known beforehand.
    """

    def __init__(self, config: TrainConfig, *, steps: int, device: str) -> None:
        still = replace(config.optimiser, decay_from=1.0)
        self._trainer = Trainer(replace(config, optimiser=still), torch.device(device))
        self._steps, self._device = steps, device

    @property
    def batch(self) -> int:
        """As configured."""
        return self._trainer.config.optimiser.batch

    @property
    def parameters(self) -> int:
        """Of the U-Net."""
        return parameters_of(self._trainer.net)

    def step(self, pixels: Tensor, *, images_seen: int) -> None:
        """One step of the trainer, which counts for itself."""
        assert images_seen == self._trainer.images_seen, "a state of another run"
        self._trainer.step(pixels)

    def draw(self, indices: list[int]) -> Tensor:
        """By DDIM from the averaged weights; uint8 (B, C, H, W). Raises ValueError for NaN."""
        config = self._trainer.config
        net = UNet(config.network)
        net.load_state_dict({k: w.cpu() for k, w in self._trainer.ema.state_dict().items()})
        return _drawn(
            net,
            self._trainer.schedule,
            indices,
            steps=self._steps,
            device=self._device,
            prediction=config.prediction,
        )

    def state_dict(self) -> dict[str, Any]:
        """The trainer's."""
        return self._trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self._trainer.load_state_dict(state)


class Shipped:
    """A checkpoint that is there already; its training counts with the time its card says."""

    def __init__(self, checkpoint: Checkpoint, *, steps: int, device: str) -> None:
        self._checkpoint, self._steps, self._device = checkpoint, steps, device

    @property
    def parameters(self) -> int:
        """Of the U-Net."""
        return parameters_of(self._checkpoint.net)

    def draw(self, indices: list[int]) -> Tensor:
        """By DDIM; uint8 (B, C, H, W). Raises ValueError for NaN."""
        return _drawn(
            self._checkpoint.net,
            self._checkpoint.schedule,
            indices,
            steps=self._steps,
            device=self._device,
            prediction=self._checkpoint.defaults.prediction,
        )


def _drawn(
    net: UNet,
    schedule: NoiseSchedule,
    indices: list[int],
    *,
    steps: int,
    device: str,
    prediction: Prediction,
) -> Tensor:
    ready = SamplingNet(net, schedule.T, device=device)
    plan = ddim_plan(schedule, steps, prediction=prediction)
    x = sample_batch(
        lambda x_t, t: ready(x_t.to(device), t.to(device)).cpu(),
        plan,
        net.config.image_shape,
        seed=0,
        indices=indices,
    )
    expect_finite(x, indices)
    return to_uint8(x)
