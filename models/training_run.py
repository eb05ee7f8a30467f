"""A training run's folder: state to resume from, metrics, sample grids, the checkpoint served."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import save_checkpoint
from models.model_card import card_of
from models.resuming import as_json, expect_same_data, expect_same_run, read_state
from models.sample_sheet import draw_samples, picture_of
from models.trainer import Trainer

log = logging.getLogger(__name__)


class Run:
    """A run's folder; `data_sha256` is of what it trains on, where that is known."""

    def __init__(self, folder: Path, name: str, data_sha256: str | None = None) -> None:
        self.folder, self.name, self.data_sha256 = folder, name, data_sha256
        self._state, self._metrics = folder / "state.pt", folder / "metrics.jsonl"
        self._samples = folder / "samples"
        self._samples.mkdir(parents=True, exist_ok=True)

    def resume(self, trainer: Trainer) -> None:
        """Go on where the last save left off, if there is one; metrics after it are dropped.

        Raises ValueError where it cannot be read, or is of another configuration, data or network.
        """
        if self._state.exists():
            self._load(trainer)
            log.info("resumed at %d images", trainer.images_seen)
        if trainer.processes.first:
            self._truncate_metrics(trainer.images_seen)

    def save(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """The metrics' line first: one whose state was not saved is dropped and comes again."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(metrics) + "\n")
        staged = self.folder / ".state.pt.part"
        of_run = {"config": as_json(trainer.config), "data_sha256": self.data_sha256}
        torch.save(trainer.state_dict() | of_run, staged)
        staged.replace(self._state)

    def export(self, trainer: Trainer) -> None:
        """The EMA weights of a state that is saved as a checkpoint, then a sheet of what they make.

        The sheet is last, and tells that all is there: see `exported`.
        """
        weights, metrics = trainer.ema.state_dict(), self._lines()[-1:]
        save_checkpoint(
            self.folder / "checkpoint",
            trainer.config.network,
            weights,
            trainer.schedule,
            variance=trainer.config.variance,
            prediction=trainer.config.prediction,
            card=card_of(trainer, self.name, metrics[0]["loss"] if metrics else None),
        )
        staged = self._samples / ".sheet.png.part"
        picture_of(draw_samples(trainer, weights)).save(staged, format="PNG")
        staged.replace(self._samples / f"{trainer.images_seen:09d}.png")

    def exported(self, images_seen: int) -> int:
        """How many images the last export was made at, of those up to `images_seen`; 0: none."""
        made = [path.stem for path in self._samples.glob("*.png") if path.stem.isdigit()]
        return max((int(stem) for stem in made if int(stem) <= images_seen), default=0)

    def _load(self, trainer: Trainer) -> None:
        saved = read_state(self._state)
        expect_same_run(self._state, saved, trainer.config)
        expect_same_data(self._state, saved, self.data_sha256)
        try:
            trainer.load_state_dict(saved)
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"{self._state}: of another network; choose another --out") from error

    def _truncate_metrics(self, images_seen: int) -> None:
        kept = [line for line in self._lines() if line["images"] <= images_seen]
        if self._metrics.exists():
            staged = self.folder / ".metrics.jsonl.part"
            staged.write_text("".join(json.dumps(line) + "\n" for line in kept))
            staged.replace(self._metrics)

    def _lines(self) -> list[dict[str, Any]]:
        """All whole lines of the metrics; a kill may have left half of one."""
        text = self._metrics.read_text() if self._metrics.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
