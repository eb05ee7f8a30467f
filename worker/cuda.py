"""What only a CUDA device has: steps replayed as graphs, images that land while the next step runs.

Launching a step's kernels one by one costs more than the kernels of a small network; a graph is
one launch. Its tensors are those it was captured with, so the slots are copied into them.
"""

from collections import deque
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from worker.row import EngineFault, NotFinite

AHEAD = 2  # steps the host may be in front: more would keep a new job waiting


class Step(Protocol):
    """Takes the rows at these slots one position further."""

    def __call__(self, slots: Tensor, *, noisy: bool) -> None:
        """Slots: int64 (M,) on the device."""


class Graphs:
    """A step, captured once for each number of rows and for noise or none."""

    def __init__(self, step: Step, scratch: int) -> None:
        self._step, self._scratch = step, scratch
        self._captured: dict[tuple[int, bool], tuple[Tensor, torch.cuda.CUDAGraph]] = {}
        self._ahead: deque[torch.cuda.Event] = deque()

    def __call__(self, slots: Tensor, *, noisy: bool) -> None:
        key = len(slots), noisy
        if key not in self._captured:
            self._captured[key] = self._capture(slots, noisy=noisy)
        static, graph = self._captured[key]
        static.copy_(slots)
        graph.replay()
        self._pace()

    def _capture(self, slots: Tensor, *, noisy: bool) -> tuple[Tensor, torch.cuda.CUDAGraph]:
        """On padding alone: a warm-up must not take anybody's row further."""
        static = torch.full_like(slots, self._scratch)
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                self._step(static, noisy=noisy)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(static, noisy=noisy)
        return static, graph

    def _pace(self) -> None:
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        self._ahead.append(done)
        if len(self._ahead) > AHEAD:
            self._ahead.popleft().synchronize()


class Landing:
    """Images on their way to the host; who looks at one waits until they are there."""

    def __init__(self, pixels: Tensor, good: Tensor) -> None:
        self._pixels, self._good = _on_its_way(pixels), _on_its_way(good)
        self._landed = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._landed.record()

    def image(self, i: int) -> "LandingImage":
        """The image at place i of the batch."""
        return LandingImage(self, i)

    def array(self, i: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """(H, W, C), once it is there. Raises NotFinite where it is not good, EngineFault where a
        step that was still under way has failed by now."""
        try:
            self._landed.synchronize()
        except RuntimeError as error:
            raise EngineFault(f"the device failed: {error}") from error
        if not self._good[i]:
            raise NotFinite
        array: np.ndarray[Any, np.dtype[np.uint8]] = self._pixels[i].numpy()
        return array


def _on_its_way(there: Tensor) -> Tensor:
    here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
    return here.copy_(there, non_blocking=True)


class LandingImage:
    """One of them; numpy makes an array of it."""

    def __init__(self, landing: Landing, i: int) -> None:
        self._landing, self._i = landing, i

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._landing.array(self._i)
