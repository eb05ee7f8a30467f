"""Train for so many seconds, draw so many images; either goes on where it was stopped.

<out>/<name>/state.pt               the contestant, and what it has had so far
<out>/<name>/drawn-<images>/*.npy   what it drew once it had seen so many images
"""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.data import batches
from models.noise import Purpose, normal

log = logging.getLogger("benchmarks.generative")
SAVE_EVERY_S, DRAWN_AT_A_TIME, TIMED = 60.0, 50, 16


class Artist(Protocol):
    """Whoever draws: uint8 (B, C, H, W), image by image the same whatever the batch.

    Raises ValueError for an image that is not finite.
    """

    @property
    def parameters(self) -> int: ...

    def draw(self, indices: list[int]) -> Tensor: ...


class Contestant(Artist, Protocol):
    """Whoever also learns, a batch of uint8 images at a time."""

    @property
    def batch(self) -> int: ...

    def step(self, pixels: Tensor, *, images_seen: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Spent:
    """What a contestant has had: images, and seconds of training alone."""

    images: int = 0
    seconds: float = 0.0


def train(contestant: Contestant, images: Tensor, folder: Path, *, seconds: float) -> Spent:
    """Train until `seconds` are spent, over all sittings; saved every minute.

    Raises DataError where the images do not fill a batch.
    """
    spent = _resumed(contestant, folder)
    start = spent.images // contestant.batch
    stream = batches(images, batch=contestant.batch, start=start, seed=0)
    while spent.seconds < seconds:
        until = min(seconds, spent.seconds + SAVE_EVERY_S)
        while spent.seconds < until:
            started = time.monotonic()
            contestant.step(next(stream), images_seen=spent.images)
            spent = Spent(
                spent.images + contestant.batch, spent.seconds + time.monotonic() - started
            )
        _save(contestant, folder, spent)
        log.info("%s: %d images, %.0f of %.0f s", folder.name, spent.images, spent.seconds, seconds)
    return spent


def draw(artist: Artist, folder: Path, count: int, *, images_seen: int) -> Tensor:
    """The first `count`, uint8 (count, C, H, W); only those that are not there yet are drawn."""
    parts = []
    place = folder / f"drawn-{images_seen}"
    place.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, DRAWN_AT_A_TIME):
        path = place / f"{first:06d}.npy"
        if not path.exists():
            staged = path.with_suffix(".part.npy")
            np.save(staged, artist.draw(list(range(first, first + DRAWN_AT_A_TIME))).numpy())
            staged.replace(path)
            log.info("%s: %d of %d drawn", folder.name, min(first + DRAWN_AT_A_TIME, count), count)
        parts.append(torch.from_numpy(np.load(path)))
    return torch.cat(parts)[:count]


def draw_s(artist: Artist) -> float:
    """Seconds an image takes, drawn sixteen at a time."""
    started = time.monotonic()
    artist.draw(list(range(TIMED)))
    return (time.monotonic() - started) / TIMED


def latents(seed: int, indices: list[int], size: int) -> Tensor:
    """(B, size, 1, 1) standard normal, each row by its own index."""
    index = torch.tensor(indices, dtype=torch.int64)
    key = torch.full_like(index, seed)
    return normal(key, index, torch.zeros_like(index), Purpose.FIRST_STATE, (size, 1, 1))


def parameters_of(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in net.parameters())


def _resumed(contestant: Contestant, folder: Path) -> Spent:
    path = folder / "state.pt"
    if not path.exists():
        return Spent()
    kept = torch.load(path, weights_only=True)
    contestant.load_state_dict(kept.pop("contestant"))
    return replace(Spent(), **kept)


def _save(contestant: Contestant, folder: Path, spent: Spent) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / ".state.pt.part"
    state = {"contestant": contestant.state_dict(), "images": spent.images}
    torch.save(state | {"seconds": spent.seconds}, staged)
    staged.replace(folder / "state.pt")
