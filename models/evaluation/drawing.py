"""Images of a model, drawn into a folder batch by batch: a drawing that was killed goes on."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.pixels import to_uint8
from models.plan import Plan
from models.sample import sample_batch
from models.samplers import SamplerName, own_sampler
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

    def plan(self, checkpoint: Checkpoint) -> Plan:
        """With the checkpoint's own defaults. Raises ValueError for steps it cannot take."""
        own = own_sampler(checkpoint, self.sampler, self.steps)
        return replace(own, spacing=self.spacing or own.spacing).plan(checkpoint)


class Drawing:
    """The images of a recipe in a folder, as far as they are drawn."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, recipe: Recipe) -> None:
        """Raises ValueError for a recipe that the model cannot follow, and where the folder holds
        images of another.
        """
        self._folder, self._checkpoint, self._recipe = folder, checkpoint, recipe
        self._plan = recipe.plan(checkpoint)
        if recipe.guidance != 1.0 and not self.classes:
            raise ValueError("guidance: the model knows no classes to be guided to")
        told = json.dumps({"sha256": checkpoint.sha256, **asdict(recipe)})
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "recipe.json"
        if path.exists() and path.read_text() != told:
            raise ValueError(f"{folder}: holds images of another recipe; choose another --out")
        staged = path.with_suffix(".part")
        staged.write_text(told)
        staged.replace(path)

    @property
    def classes(self) -> int:
        """How many the model can be asked for; 0 where it knows none."""
        return (self._checkpoint.net.config.num_class_embeds or 1) - 1

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
        what the kernels round.
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
        pixels = to_uint8(self._draw(net, indices)).cpu()
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
