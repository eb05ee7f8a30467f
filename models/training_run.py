"""A training run's folder: state to resume from, metrics, sample grids, the checkpoint served."""

import json
import logging
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from models.checkpoint import save_checkpoint
from models.model_card import card_of
from models.pixels import grid, to_uint8
from models.plan import ddim_plan
from models.sample import sample_batch
from models.trainer import Trainer
from models.unet import UNet

log = logging.getLogger(__name__)
GRID_SEED, GRID_IMAGES, GRID_STEPS = 0, 36, 50


class Run:
    """A run's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        (folder / "samples").mkdir(parents=True, exist_ok=True)

    def resume(self, trainer: Trainer) -> None:
        """Go on where the last save left off, if there is one; metrics after it are dropped.

        Raises ValueError where it is of another network.
        """
        state = self.folder / "state.pt"
        if not state.exists():
            return
        saved = torch.load(state, map_location=trainer.device, weights_only=True)
        try:
            trainer.load_state_dict(saved)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"{state}: of another network; choose another --out") from error
        if trainer.processes.first:
            self._truncate_metrics(trainer.images_seen)
        log.info("resumed at %d images", trainer.images_seen)

    def save(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """State first, then its line in the metrics: a kill between the two loses one line."""
        staged = self.folder / ".state.pt.part"
        torch.save(trainer.state_dict(), staged)
        staged.replace(self.folder / "state.pt")
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    def export(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """The EMA weights as a checkpoint, and a grid of what they make."""
        config = trainer.config
        weights = trainer.ema.state_dict()
        save_checkpoint(
            self.folder / "checkpoint",
            config.network,
            weights,
            trainer.schedule,
            variance=config.variance,
            prediction=config.prediction,
            card=card_of(trainer, self.name, metrics["loss"]),
        )
        sheet = grid(to_uint8(sample_grid(trainer, weights)))
        picture = Image.fromarray(sheet.permute(1, 2, 0).squeeze(-1).numpy())
        picture.save(self.folder / "samples" / f"{trainer.images_seen:09d}.png")

    def _truncate_metrics(self, images_seen: int) -> None:
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        kept = [line for line in whole if json.loads(line)["images"] <= images_seen]
        path.write_text("".join(kept))


def sample_grid(trainer: Trainer, weights: dict[str, Tensor]) -> Tensor:
    """DDIM-50 from given weights, always the same seeds: (36, C, H, W); classes in turn."""
    net = UNet(trainer.config.network).eval()
    classes = len(trainer.config.labels)
    y = torch.arange(GRID_IMAGES) % classes if classes else None
    net.load_state_dict({name: w.cpu() for name, w in weights.items()})
    steps = min(GRID_STEPS, trainer.schedule.T)
    plan = ddim_plan(trainer.schedule, steps, prediction=trainer.config.prediction)
    shape = trainer.config.network.image_shape
    return sample_batch(
        lambda x_t, t: net(x_t, t, y)[:, : shape[0]],  # what it may say of variances is not asked
        plan,
        shape,
        seed=GRID_SEED,
        indices=list(range(GRID_IMAGES)),
    )
