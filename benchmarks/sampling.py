"""Raw sampling beside diffusers: the same weights, steps, batch, threads and machine, in one run.

    python -m benchmarks.sampling [--quick] [--model cifar10-32] [--threads 2] [--out FILE]

Ours is the worker's runner, as it serves; the peer is diffusers' DDIMPipeline. All are timed in
turns, so that whatever else the machine does falls on each. Pixels are compared from the same x_T.
Progress on stderr; the last line of stdout is one JSON document: the shipped model's, with that of
the google/ddpm-cifar10-32 configuration (random weights: only its speed means anything) in `also`.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.breakdown import breakdown_ms
from benchmarks.peer import chain, ddim_pipeline
from models.checkpoint import load_checkpoint, save_checkpoint
from models.noise import Purpose, normal
from models.plan import ddim_plan, ddpm_plan
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.unet import UNet, UNetConfig
from worker import fingerprint
from worker.examine import sampling_net, settle
from worker.fingerprint import Numerics, Precision
from worker.row import Ticket
from worker.runner import TorchRunner

log = logging.getLogger("benchmarks.sampling")
SHIPPED = "models/pretrained/fashion-mnist"
CIFAR10_NAME = "cifar10-32"
CIFAR10 = UNetConfig(
    sample_size=32,
    in_channels=3,
    out_channels=3,
    block_out_channels=(128, 256, 256, 256),
    layers_per_block=2,
    attention=(False, True, False, False),
)


@dataclass(frozen=True)
class Course:
    """How long a model is measured. `compiled`: the peer is compiled as well, for a minute."""

    steps: int
    rounds: int
    compiled: bool


FULL = {SHIPPED: Course(50, 7, True), CIFAR10_NAME: Course(10, 3, True)}
QUICK = {SHIPPED: Course(10, 1, False), CIFAR10_NAME: Course(1, 1, False)}


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling")
    parser.add_argument("--model", help=f"a checkpoint's folder, or {CIFAR10_NAME}; default: both")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="says that it runs, claims nothing")
    parser.add_argument("--out", type=Path, help="write the document here as well")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    names = [args.model] if args.model else [SHIPPED, CIFAR10_NAME]
    courses = QUICK if args.quick else FULL
    with tempfile.TemporaryDirectory() as scratch:
        reports = [
            Measurement(name, courses.get(name, courses[SHIPPED]), args.threads, scratch).report()
            for name in names
        ]
    report = {"quick": args.quick, **reports[0], "also": reports[1:]}
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


class Measurement:
    """One model, its numerics in float32 and in the best precision, and who runs against whom."""

    def __init__(self, name: str, course: Course, threads: int, scratch: str) -> None:
        self.course, self._threads, self._scratch = course, threads, Path(scratch)
        self.folder = self._random_weights() if name == CIFAR10_NAME else Path(name)
        self.checkpoint = load_checkpoint(self.folder)
        self.plain, self.best = self._numerics("float32"), self._numerics("auto")
        self.batch = self.best.chunk
        self._peer = ddim_pipeline(self.folder, device=self.best.device)

    def report(self) -> dict[str, Any]:
        """The document. Ratios are ours over the peer's, in images/s."""
        best = self.best
        log.info("%s: batch %d, %s %s", self.folder.name, self.batch, best.precision, best.mode)
        rates = self._images_per_s(self._contenders())
        differences = self._level_differences()
        return {
            "machine": best.chip,
            "cpu_features": cpu_features(),
            "threads": best.threads,
            "model": self.folder.name,
            "batch": self.batch,
            "steps": self.course.steps,
            "rounds": self.course.rounds,
            "peer": "diffusers DDIMPipeline, float32, eager",
            "peer_images_per_s": _rounded(rates["peer"]),
            "peer_same_precision_images_per_s": _rounded(rates["peer_same"]),
            "peer_compiled_images_per_s": _rounded(rates.get("peer_compiled")),
            "fp32": {
                "images_per_s": _rounded(rates["fp32"]),
                "ratio": _rounded(rates["fp32"] / rates["peer"]),
                "pixels_equal": float((differences == 0).float().mean()),
                "max_level_diff": int(differences.max()),
            },
            "best": {
                "precision": best.precision,
                "mode": best.mode,
                "images_per_s": _rounded(rates["best"]),
                "ratio": _rounded(rates["best"] / rates["peer"]),
                "ratio_same_precision": _rounded(rates["best"] / rates["peer_same"]),
                "ratio_compiled": _rounded(
                    rates["best"] / rates["peer_compiled"] if self.course.compiled else None
                ),
            },
            "breakdown_ms": self._breakdown(),
        }

    def _contenders(self) -> Mapping[str, Callable[[int], Tensor]]:
        pipeline = partial(ddim_pipeline, self.folder, device=self.best.device)
        peers = {
            "peer": self._peer,
            "peer_same": pipeline(precision=self.best.precision),
        }
        if self.course.compiled:
            peers["peer_compiled"] = pipeline(precision=self.best.precision, compiled=True)
        ours = {"fp32": self.plain, "best": self.best}
        return {name: partial(_run_peer, peer, self.batch) for name, peer in peers.items()} | {
            name: partial(self._ours, self._net(numerics), numerics)
            for name, numerics in ours.items()
        }

    def _images_per_s(self, contenders: Mapping[str, Callable[[int], Tensor]]) -> dict[str, float]:
        """Medians of rounds in which each takes its turn, after one short turn to warm up."""
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for run in contenders.values():
            run(1)
        for i in range(self.course.rounds):
            for name, run in contenders.items():
                times[name].append(_seconds(run, self.course.steps))
            log.info("round %d: %s", i + 1, {name: round(s[-1], 2) for name, s in times.items()})
        return {name: self.batch / statistics.median(s) for name, s in times.items()}

    def _ours(self, net: SamplingNet, numerics: Numerics, steps: int) -> Tensor:
        """The worker's own path, from seeds to uint8 (B, H, W, C) on the host."""
        runner = TorchRunner(
            net,
            device=numerics.device,
            slots=self.batch,
            sizes=(self.batch,),
            graphed=numerics.mode == "graph",
        )
        checkpoint = self.checkpoint
        plan = ddim_plan(checkpoint.schedule, steps, prediction=checkpoint.defaults.prediction)
        rows = Ticket.for_nobody(plan, seed=0, indices=range(self.batch)).rows()
        for row in rows:
            runner.admit(row)
        for _ in range(steps):
            runner.step(rows)
        return torch.stack([torch.as_tensor(image) for image in runner.collect(rows)])

    def _level_differences(self) -> Tensor:
        """|ours in float32 - peer| in levels of 255, both started from the same x_T, both with
        eps of the clipped x0_hat.
        """
        index = torch.arange(self.batch, device=self.best.device)
        zero = torch.zeros_like(index)
        x_T = normal(  # noqa: N806
            zero, index, zero, Purpose.FIRST_STATE, self.checkpoint.net.config.image_shape
        )
        theirs = (
            chain(
                self._peer.unet,
                self._peer.scheduler,
                x_T,
                self.course.steps,
                use_clipped_model_output=True,
            )
            .permute(0, 2, 3, 1)
            .cpu()
        )
        ours = self._ours(self._net(self.plain), self.plain, self.course.steps)
        return (ours.int() - theirs.int()).abs()

    def _breakdown(self) -> dict[str, float]:
        plan = ddpm_plan(self.checkpoint.schedule, self.checkpoint.schedule.T)
        graphed = self.best.mode == "graph"
        repeats = 20 if self.course.steps >= 10 else 3
        return breakdown_ms(
            self._net(self.best), plan, batch=self.batch, graphed=graphed, repeats=repeats
        )

    def _net(self, numerics: Numerics) -> SamplingNet:
        return sampling_net(self.checkpoint, numerics)

    def _numerics(self, precision: Precision) -> Numerics:
        return settle(self.checkpoint, self._scratch, threads=self._threads, precision=precision)

    def _random_weights(self) -> Path:
        folder = self._scratch / CIFAR10_NAME
        torch.manual_seed(0)
        save_checkpoint(folder, CIFAR10, UNet(CIFAR10).state_dict(), linear_schedule())
        return folder


def cpu_features() -> list[str]:
    """The vector units that decide which kernels run; empty where the system does not tell."""
    flags = fingerprint.cpu_flags()
    return [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]


def _run_peer(pipeline: Any, batch: int, steps: int) -> Tensor:
    """The pipeline's call, as its loop: see `chain`."""
    unet = pipeline.unet
    size = unet.config.sample_size
    shape = (batch, unet.config.in_channels, size, size)
    x_T = torch.randn(shape, dtype=unet.dtype).to(unet.device)  # noqa: N806
    return chain(unet, pipeline.scheduler, x_T, steps).cpu()


def _seconds(run: Callable[[int], Tensor], steps: int) -> float:
    """Wall time; every side ends with its pixels on the host."""
    started = time.perf_counter()
    run(steps)
    return time.perf_counter() - started


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 3)


if __name__ == "__main__":
    raise SystemExit(main())
