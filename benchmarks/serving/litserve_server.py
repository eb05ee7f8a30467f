"""The static-batching peer as a process: LitServe around diffusers' pipelines.

python -m benchmarks.serving.litserve_server PORT MODEL PRECISION THREADS
"""

import base64
import sys
from pathlib import Path
from typing import Any

import litserve

from benchmarks.serving.painter import Asked, Painter

MOST_REQUESTS = 16  # of three samplers: enough of each to fill batches of 16 images
PATIENCE_S = 0.02  # for company; a chain takes seconds


class StaticBatching(litserve.LitAPI):  # type: ignore[misc]
    """Requests that wait are drawn together; who comes later waits for the end."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        super().__init__(max_batch_size=MOST_REQUESTS, batch_timeout=PATIENCE_S)
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

    def predict(self, x: list[Asked]) -> list[dict[str, Any]]:
        """All of them, to their ends."""
        drawn = self._painter.draw(x)
        done = {"rows": self._painter.rows, "forwards": self._painter.forwards}
        return [{"first_step": at, "images": images, **done} for at, images in drawn]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """In the order of the requests."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """PNGs as base64."""
        images = [base64.b64encode(png).decode() for png in output["images"]]
        return output | {"images": images}


def main(port: str, folder: str, precision: str, threads: str) -> None:
    """Serve until killed."""
    api = StaticBatching(Path(folder), precision, int(threads))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=False)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
