"""The network alone, as the worker runs it, at its chunk size: image-steps/s, on one line.

python -m benchmarks.serving.raw_forward MODEL SECONDS
"""

import os
import sys
import time
from pathlib import Path

import torch

from models.checkpoint import load_checkpoint
from worker.examine import sampling_net, settle


def main(folder: str, seconds: str) -> None:
    """Forward after forward, after three that are not counted."""
    checkpoint = load_checkpoint(Path(folder))
    numerics = settle(checkpoint, Path(folder), threads=os.cpu_count() or 1)
    net = sampling_net(checkpoint, numerics)
    x = torch.randn(numerics.chunk, *net.shape, device=numerics.device)
    t = torch.full((numerics.chunk,), net.T // 2, device=numerics.device)
    for _ in range(3):
        net(x, t).cpu()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < float(seconds):
        net(x, t).cpu()
        done += numerics.chunk
    sys.stdout.write(f"{done / (time.perf_counter() - started)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
