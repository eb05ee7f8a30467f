"""Raw sampling beside diffusers: the same weights, steps, batch, threads and machine, in one run.

    python -m benchmarks.sampling [--quick] [--batch 16] [--steps 50]

Ours is the worker's runner, as it serves; the peer is diffusers' DDIMPipeline. The two are timed in
turns, so that whatever else the machine does falls on both. Pixels are compared from the same x_T.
Progress on stderr; the last line of stdout is one JSON document.
"""

import argparse
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import Checkpoint, load_checkpoint
from models.noise import Purpose, normal
from models.pixels import to_uint8
from models.plan import ddim_plan
from worker import fingerprint
from worker.fingerprint import Numerics
from worker.row import Row, Ticket
from worker.runner import TorchRunner

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

log = logging.getLogger("benchmarks.sampling")
MODEL = Path("models/pretrained/fashion-mnist")
SEED = 0


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--batch", type=int, help="default: the engine's chunk size")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="few rounds: says that it runs")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    checkpoint = load_checkpoint(args.model)
    numerics = fingerprint.resolve(device="auto", threads=args.threads)
    fingerprint.apply(numerics)
    report = compare(
        checkpoint,
        numerics,
        args.model,
        batch=args.batch or numerics.chunk,
        steps=args.steps,
        rounds=2 if args.quick else 7,
    )
    sys.stdout.write(json.dumps({"quick": args.quick, **report}) + "\n")
    return 0


def compare(
    checkpoint: Checkpoint,
    numerics: Numerics,
    folder: Path,
    *,
    batch: int,
    steps: int,
    rounds: int,
) -> dict[str, Any]:
    """Time both in turns and compare their pixels."""
    pipeline = peer_pipeline(folder, numerics.device)
    pipeline(batch_size=batch, num_inference_steps=2, output_type="np")  # warm
    ours_of(checkpoint, numerics, batch, 2)
    ours_s, peer_s = [], []
    for i in range(rounds):
        ours_s.append(seconds(lambda: ours_of(checkpoint, numerics, batch, steps)))
        peer_s.append(
            seconds(lambda: pipeline(batch_size=batch, num_inference_steps=steps, output_type="np"))
        )
        log.info("round %d: ours %.2f s, peer %.2f s", i + 1, ours_s[-1], peer_s[-1])
    ours, peer = batch / statistics.median(ours_s), batch / statistics.median(peer_s)
    difference = level_differences(checkpoint, numerics, pipeline, batch, steps)
    return {
        "machine": numerics.chip,
        "threads": numerics.threads,
        "model": folder.name,
        "batch": batch,
        "steps": steps,
        "rounds": rounds,
        "peer": "diffusers DDIMPipeline, float32, eager",
        "peer_images_per_s": round(peer, 3),
        "fp32": {
            "images_per_s": round(ours, 3),
            "ratio": round(ours / peer, 3),
            "ratio_of_best_rounds": round(min(peer_s) / min(ours_s), 3),
            "pixels_equal": float((difference == 0).float().mean()),
            "max_level_diff": int(difference.max()),
        },
    }


def ours_of(checkpoint: Checkpoint, numerics: Numerics, batch: int, steps: int) -> Tensor:
    """The worker's own path, from seeds to uint8: (B, H, W, C)."""
    plan = ddim_plan(checkpoint.schedule, steps)
    runner = TorchRunner(
        checkpoint.net, device=numerics.device, capacity=batch, sizes=(numerics.chunk,)
    )
    ticket = Ticket("benchmark", 0, plan, steps, SEED, tuple(range(batch)), lambda *_: None)
    rows: list[Row] = ticket.rows()
    for row in rows:
        runner.admit(row)
    for _ in range(steps):
        runner.step(rows)
    return torch.stack([torch.from_numpy(pixels) for pixels in runner.collect(rows)])


def peer_pipeline(folder: Path, device: str) -> Any:
    """diffusers on the same weights, its progress bar off."""
    peer: Any = diffusers
    unet = peer.UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    scheduler = peer.DDIMScheduler.from_pretrained(folder / "scheduler")
    pipeline = peer.DDIMPipeline(unet=unet.to(device).eval(), scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def level_differences(
    checkpoint: Checkpoint, numerics: Numerics, pipeline: Any, batch: int, steps: int
) -> Tensor:
    """|ours - peer| in levels of 255, both started from the same x_T."""
    index = torch.arange(batch)
    shape = checkpoint.net.config.image_shape
    x = normal(
        torch.full_like(index, SEED), index, torch.zeros_like(index), Purpose.FIRST_STATE, shape
    ).to(numerics.device)
    pipeline.scheduler.set_timesteps(steps)
    for t in pipeline.scheduler.timesteps:
        eps = pipeline.unet(x, t).sample
        x = pipeline.scheduler.step(eps, t, x, eta=0.0).prev_sample
    peer = to_uint8(x).permute(0, 2, 3, 1).cpu().int()
    return (ours_of(checkpoint, numerics, batch, steps).int() - peer).abs()


def seconds(action: Callable[[], Any]) -> float:
    """Wall time of one call; both sides end with their pixels on the host."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
