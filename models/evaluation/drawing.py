"""Images of a model, drawn into a folder batch by batch: a drawing that was killed goes on."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.pixels import expect_finite, to_uint8
from models.plan import REVISION, Plan
from models.sample import sample_batch
from models.samplers import Sampler, SamplerName, own_sampler
from models.sampling_net import SamplingNet
from models.spacing import Spacing


@dataclass(frozen=True)
class Recipe:
    """All that decides what is drawn, beside the weights. Image i is of class i % classes."""

    sampler: SamplerName = "ddim"
    steps: int = 50
    seed: int = 0
    guidance: float = 1.0
    precision: str = "float32"
    spacing: Spacing | None = None  # None: the sampler's own

    def sampler_of(self, checkpoint: Checkpoint) -> Sampler:
        """With the checkpoint's own defaults."""
        own = own_sampler(checkpoint, self.sampler, self.steps)
        return replace(own, spacing=self.spacing or own.spacing)

    def plan(self, checkpoint: Checkpoint) -> Plan:
        """The sampler's. Raises ValueError for steps the checkpoint cannot take."""
        return self.sampler_of(checkpoint).plan(checkpoint)

    def told(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """As it is followed: spacing, clip and variance (None where no noise is added) as used."""
        used, noisy = self.sampler_of(checkpoint), self.plan(checkpoint).stochastic
        return asdict(self) | {
            "spacing": used.spacing,
            "clip": used.clip,
            "variance": used.variance if noisy else None,
            "revision": REVISION,
        }


class Drawing:
    """The images of a recipe in a folder, as far as they are drawn."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, recipe: Recipe) -> None:
        """Raises ValueError for a recipe that the model cannot follow, and where the folder holds
        images of another.
        """
        self._folder, self._checkpoint, self._recipe = folder, checkpoint, recipe
        self._plan, self.told = recipe.plan(checkpoint), recipe.told(checkpoint)
        if not math.isfinite(recipe.guidance):
            raise ValueError(f"guidance: must be a finite number, got {recipe.guidance}")
        if recipe.guidance != 1.0 and not self.classes:
            raise ValueError("guidance: the model knows no classes to be guided to")
        self._claim()

    def _claim(self) -> None:
        """Keep all that decides what is drawn, or find it kept."""
        path = self._folder / "recipe.json"
        told = json.dumps({"model": self._checkpoint.digest, **self.told})
        self._folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text() != told:
            raise ValueError(
                f"{self._folder}: holds images of another recipe; choose another --out"
            )
        staged = path.with_suffix(".part")
        staged.write_text(told)
        staged.replace(path)

    @property
    def classes(self) -> int:
        """How many the model can be asked for; 0 where it knows none."""
        return self._checkpoint.net.config.classes

    @property
    def names(self) -> tuple[str, ...]:
        """What the model's card calls the classes; empty where it does not."""
        return tuple(self._checkpoint.card.get("labels", ()))

    def labels(self, count: int) -> Tensor | None:
        """The classes asked for, (count,), or None."""
        return torch.arange(count) % self.classes if self.classes else None

    def images(
        self,
        count: int,
        *,
        batch: int,
        device: str,
        progress: Callable[[Iterator[int]], Iterator[int]] = iter,
    ) -> Tensor:
        """The first `count`, uint8 (count, C, H, W); only those that the folder lacks are drawn.

        `progress` sees the first image of each batch. The same images whatever the batch, but for
        what the kernels round. Raises ValueError for one that is not finite, naming the first.
        """
        net = SamplingNet(
            self._checkpoint.net,
            self._checkpoint.schedule.T,
            device=device,
            precision=self._recipe.precision,
            learned=self._plan.log_range is not None,
        )
        parts = [
            self._part(net, list(range(first, min(first + batch, count))))
            for first in progress(iter(range(0, count, batch)))
        ]
        return torch.cat(parts)

    def _part(self, net: SamplingNet, indices: list[int]) -> Tensor:
        path = self._folder / f"{indices[0]:06d}-{indices[-1]:06d}.npy"
        if path.exists():
            return torch.from_numpy(np.load(path))
        x = self._draw(net, indices)
        expect_finite(x, indices)
        pixels = to_uint8(x).cpu()
        staged = path.with_suffix(".part.npy")
        np.save(staged, pixels.numpy())
        staged.replace(path)
        return pixels

    def _draw(self, net: SamplingNet, indices: list[int]) -> Tensor:
        shape = self._checkpoint.net.config.image_shape
        channels, w = shape[0], self._recipe.guidance
        y = torch.tensor(indices) % max(self.classes, 1)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            x, at = x_t.to(net.device), t.to(net.device)
            if not self.classes:
                return net(x, at).to(x_t.device)
            out = net(x, at, y.to(net.device))
            if w != 1.0:  # of eps; a learned variance is that of the class
                eps, none = out[:, :channels], net(x, at)[:, :channels]
                out = torch.cat([none + w * (eps - none), out[:, channels:]], dim=1)
            return out.to(x_t.device)

        return sample_batch(denoise, self._plan, shape, seed=self._recipe.seed, indices=indices)
