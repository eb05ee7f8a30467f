"""What both peers serve: diffusers' network and schedulers, in one static batch at a time."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.peer import chain, ddim_pipeline, ddpm_scheduler

MOST_ROWS = 16
Drawn = tuple[float, list[bytes]]  # the first step, in time.time(), and PNGs


@dataclass(frozen=True)
class Asked:
    """What a request says."""

    n: int
    sampler: str
    steps: int
    seed: int


class Painter:
    """Draws requests together that can be: the same sampler, the same steps, 16 images at most."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._ddim = ddim_pipeline(folder, device="cpu", precision=precision)
        self._ddpm = ddpm_scheduler(folder)
        self.forwards = self.rows = 0

    def draw(self, requests: list[Asked]) -> Iterator[dict[int, Drawn]]:
        """After each batch those of the requests, by their place, that are done with it."""
        groups: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for k, asked in enumerate(requests):
            group = groups.setdefault((asked.sampler, asked.steps), [])
            group += [(k, asked.seed + i) for i in range(asked.n)]
        begun: dict[int, float] = {}
        images: list[list[bytes]] = [[] for _ in requests]
        for (sampler, steps), wanted in groups.items():
            for start in range(0, len(wanted), MOST_ROWS):
                batch = wanted[start : start + MOST_ROWS]
                for k, _ in batch:
                    begun.setdefault(k, time.time())
                for (k, _), png in zip(batch, self._chain(sampler, steps, batch), strict=True):
                    images[k].append(png)
                ready = {k for k, _ in batch if len(images[k]) == requests[k].n}
                yield {k: (begun[k], images[k]) for k in ready}

    def _chain(self, sampler: str, steps: int, batch: list[tuple[int, int]]) -> list[bytes]:
        unet = self._ddim.unet
        size = unet.config.sample_size
        x_T = torch.stack(  # noqa: N806
            [
                torch.randn(
                    unet.config.in_channels, size, size, generator=torch.Generator().manual_seed(s)
                )
                for _, s in batch
            ]
        ).to(unet.dtype)
        scheduler = self._ddim.scheduler if sampler == "ddim" else self._ddpm
        self.forwards += steps
        self.rows += steps * len(batch)
        pixels = chain(unet, scheduler, x_T, steps)
        return [_png(image) for image in pixels.permute(0, 2, 3, 1).numpy()]


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "png")
    return file.getvalue()
