"""What a precision does to a model, found before its first job and kept in DATA_DIR.

Two findings: how far the predicted noise is from float32's, and which chunk sizes round alike.
"""

import json
import math
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.diffusion import reverse_step
from models.noise import Purpose, normal
from models.plan import Plan, ddim_plan, ddpm_plan
from models.sampling_net import SamplingNet, use_precision
from worker import fingerprint
from worker.chunks import agreeing_sizes
from worker.fingerprint import Mode, Numerics, Precision

Net = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t, t, y) -> eps
CHAIN_STEPS = 10
ROWS = 4


@dataclass(frozen=True)
class Finding:
    """`eps_error`: see the function."""

    chunks: tuple[int, ...]
    eps_error: float


def examine(checkpoint: Checkpoint, numerics: Numerics, data_dir: Path) -> Finding:
    """The finding for a fingerprint: from DATA_DIR, or made now and kept there."""
    kept = data_dir / "engine" / f"{numerics.fingerprint(checkpoint.digest)}.json"
    if kept.exists():
        found = json.loads(kept.read_text())
        return Finding(chunks=tuple(found["chunks"]), eps_error=found["eps_error"])
    finding = _found(checkpoint, numerics)
    kept.parent.mkdir(parents=True, exist_ok=True)
    staged = kept.with_suffix(f".{uuid.uuid4().hex}.part")  # others may be at it
    staged.write_text(json.dumps(asdict(finding)))
    staged.replace(kept)
    return finding


def settle(
    checkpoint: Checkpoint,
    data_dir: Path,
    *,
    threads: int,
    device: str = "auto",
    precision: Precision = "auto",
    mode: Mode = "auto",
    chunk: int | None = None,
) -> Numerics:
    """Resolve a checkpoint's numerics and apply them to this process. Raises ValueError."""
    _, height, width = checkpoint.net.config.image_shape
    numerics = fingerprint.resolve(
        device=device,
        threads=threads,
        pixels=height * width,
        precision=precision,
        mode=mode,
        chunk=chunk,
    )
    fingerprint.apply(numerics, data_dir)
    return numerics


def sampling_net(checkpoint: Checkpoint, numerics: Numerics) -> SamplingNet:
    """The checkpoint's network as these numerics run it."""
    return SamplingNet(
        checkpoint.net,
        checkpoint.schedule.T,
        device=numerics.device,
        precision=numerics.precision,
        compiled=numerics.mode == "compiled",
    )


def _found(checkpoint: Checkpoint, numerics: Numerics) -> Finding:
    T, prediction = checkpoint.schedule.T, checkpoint.defaults.prediction  # noqa: N806
    net = sampling_net(checkpoint, numerics)
    error = 0.0
    if numerics.precision != "float32":
        exact = in_float32(SamplingNet(checkpoint.net, T, device=numerics.device), numerics)
        plan = ddim_plan(checkpoint.schedule, min(CHAIN_STEPS, T), prediction=prediction)
        error = eps_error(net, exact, plan)
    chunks = agreeing_sizes(
        net,
        ddpm_plan(checkpoint.schedule, min(CHAIN_STEPS, T), prediction=prediction),
        device=numerics.device,
        chunk=numerics.chunk,
        graphed=numerics.mode == "graph",
    )
    return Finding(chunks, error)


def in_float32(exact: Net, numerics: Numerics) -> Net:
    """The network as float32 has it, also where the process computes in TF32."""

    def computed(x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        use_precision("float32", numerics.device)
        try:
            return exact(x_t, t, y)
        finally:
            use_precision(numerics.precision, numerics.device)

    return computed


@torch.inference_mode()
def eps_error(net: SamplingNet, exact: Net, plan: Plan) -> float:
    """||w (out - out')|| / ||w out|| over a chain that `exact` takes; inf for no number.

    w = sqrt(alpha_bar) r2, of eps sqrt(1 - alpha_bar), is what an error weighs in the image.
    Unweighted, the last step alone would decide: there eps is a hundredth of what the network sees.
    """
    index = torch.arange(ROWS, device=net.device)
    zero = torch.zeros_like(index)
    x, y = normal(zero, index, zero, Purpose.FIRST_STATE, net.shape), zero + net.none
    x0, off, whole = torch.zeros_like(x), 0.0, 0.0
    weights = np.sqrt(plan.alpha_bar) * np.abs(plan.column("r2"))
    for line, weight in zip(torch.from_numpy(plan.table).to(x), weights.tolist(), strict=True):
        t = line[0].long().expand(ROWS)
        eps, approximate = exact(x, t, y), net(x, t, y)
        off += float((weight * (approximate - eps)).square().sum())
        whole += float((weight * eps).square().sum())
        x, x0 = reverse_step(line.expand(ROWS, -1), x, eps, x0, None)
    return math.sqrt(off / whole) if math.isfinite(off) else math.inf
