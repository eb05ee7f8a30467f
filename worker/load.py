"""How busy an engine is, from its counters: pure, the clock is an argument."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.messages import WorkerLoad

WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    images: int
    steps: int
    row_steps: int


@dataclass
class LoadMeter:
    """Rates over the last WINDOW_S. `width`: rows of a full step."""

    width: int
    _readings: deque[_Reading] = field(default_factory=deque)

    def read(
        self, at_s: float, counters: Mapping[str, int], *, running: int, waiting: int
    ) -> WorkerLoad:
        """What is told of the engine at a time that never goes back, in seconds."""
        latest = _Reading(at_s, counters["images"], counters["steps"], counters["row_steps"])
        self._readings.append(latest)
        while self._readings[0].at_s < at_s - WINDOW_S:
            self._readings.popleft()
        first = self._readings[0]
        seconds, steps = at_s - first.at_s, latest.steps - first.steps
        row_steps = latest.row_steps - first.row_steps
        return WorkerLoad(
            rows_running=running,
            rows_waiting=waiting,
            width=self.width,
            images_per_s=round((latest.images - first.images) / seconds, 3) if seconds else 0.0,
            steps_per_s=round(steps / seconds, 3) if seconds else 0.0,
            occupancy=round(row_steps / (steps * self.width), 3) if steps else 0.0,
        )
