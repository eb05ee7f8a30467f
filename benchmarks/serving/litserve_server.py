"""The static-batching peer as a process: LitServe around diffusers' pipelines.

It streams, so that a request has its images when its own chain has ended, and not when the last of
all that were taken together has: a line of JSON, the only one of its answer.

python -m benchmarks.serving.litserve_server PORT MODEL PRECISION THREADS
"""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litserve

from benchmarks.serving.painter import Asked, Drawn, Painter

MOST_REQUESTS = 16  # of three samplers: enough of each to fill batches of 16 images
PATIENCE_S = 0.02  # for company; a chain takes seconds


class StaticBatching(litserve.LitAPI):  # type: ignore[misc]
    """Requests that wait are drawn together; who comes later waits for the end."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        super().__init__(max_batch_size=MOST_REQUESTS, batch_timeout=PATIENCE_S, stream=True)
        self._settings = folder, precision, threads

    def setup(self, device: str) -> None:
        """In the worker process."""
        self._painter = Painter(*self._settings)

    def decode_request(self, request: dict[str, Any]) -> Asked:
        """One request of JSON."""
        return Asked(**request)

    def batch(self, inputs: list[Asked]) -> list[Asked]:
        """As they are: the painter sorts them."""
        return inputs

    def predict(self, x: list[Asked]) -> Iterator[list[Drawn | None]]:
        """All of them, to their ends: after each batch what each has of it, if it is done."""
        for done in self._painter.draw(x):
            yield [done.get(k) for k in range(len(x))]

    def unbatch(self, output: Iterator[list[Drawn | None]]) -> Iterator[list[Drawn | None]]:
        """In the order of the requests already."""
        yield from output

    def encode_response(self, output: Iterator[list[Drawn | None]]) -> Any:
        """A line for who is done, nothing for the others. (FastAPI takes the hint for a schema.)"""
        for answers in output:
            yield ["" if each is None else self._line(*each) for each in answers]

    def _line(self, at: float, images: list[bytes]) -> str:
        pngs = [base64.b64encode(png).decode() for png in images]
        work = {"rows": self._painter.rows, "forwards": self._painter.forwards}
        return json.dumps({"first_step": at, "images": pngs, **work}) + "\n"


def main(port: str, folder: str, precision: str, threads: str) -> None:
    """Serve until killed."""
    api = StaticBatching(Path(folder), precision, int(threads))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
