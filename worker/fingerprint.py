"""What resolves the numerics, once, and its name.

Kernels round differently for another shape, precision, thread count, library or chip. All of it is
fixed before the first job, from capabilities and configuration and never from a timing, and hashed
into the fingerprint that every image records. Within a fingerprint, pixels are equal.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from models.plan import REVISION
from models.sampling_net import expect_precision, use_precision

log = logging.getLogger(__name__)
CPU_CHUNK = 16
CUDA_PIXELS, CUDA_CHUNKS = 2**18, (8, 256)  # a step's pixels, and the rows that may come to

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]
Mode = Literal["auto", "eager", "compiled", "graph"]


@dataclass(frozen=True)
class Numerics:
    """Everything that decides how a number rounds, but the weights."""

    device: str  # "cpu" or "cuda"
    chip: str
    torch: str
    threads: int  # of one operation, on the CPU
    precision: str  # of the network; states and updates are float32 always
    mode: str  # eager; compiled: torch.compile; graph: CUDA graphs
    chunk: int  # rows a forward pass is padded to
    revision: int = REVISION

    def fingerprint(self, model: str) -> str:
        """16 hex digits; equal fingerprints give equal pixels. `model` is a checkpoint's digest."""
        text = json.dumps({**asdict(self), "model": model}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(
    *,
    device: str,
    threads: int,
    pixels: int,  # of one image
    precision: Precision = "auto",
    mode: Mode = "auto",
    chunk: int | None = None,
) -> Numerics:
    """The numerics of this process; "auto" is what the device does fast.

    Raises ValueError where what was asked for is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for, but torch sees no CUDA device")
    on_gpu = device == "cuda"
    if not on_gpu and mode == "graph":
        raise ValueError("mode: graph needs a CUDA device")
    expect_precision(precision, device)
    least, most = CUDA_CHUNKS
    return Numerics(
        device=device,
        chip=torch.cuda.get_device_name() if on_gpu else _cpu_name(),
        torch=str(torch.__version__),
        threads=0 if on_gpu else threads,
        precision=_precision(on_gpu) if precision == "auto" else precision,
        mode=_mode(mode, on_gpu=on_gpu),
        chunk=chunk or (max(least, min(most, CUDA_PIXELS // pixels)) if on_gpu else CPU_CHUNK),
    )


def apply(numerics: Numerics, data_dir: Path) -> None:
    """Set torch's process-wide switches to what the numerics say."""
    if numerics.mode == "compiled":  # a restart must not compile again
        cache = data_dir.resolve() / "engine" / "compiled"
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    if numerics.device == "cpu":
        torch.set_num_threads(numerics.threads)
        return
    use_precision(numerics.precision, numerics.device)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def cpu_flags() -> frozenset[str]:
    """What Linux says of the CPU's instruction sets; empty on other systems."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return frozenset()


def _precision(on_gpu: bool) -> str:
    """bfloat16 where the device multiplies it faster than float32."""
    fast = torch.cuda.get_device_capability() >= (8, 0) if on_gpu else bool(_half_units())
    return "bfloat16" if fast else "float32"


def _mode(asked: Mode, *, on_gpu: bool) -> str:
    if asked == "compiled" and not shutil.which(os.environ.get("CXX", "c++")):
        log.warning("no C++ compiler, so nothing is compiled")
        asked = "auto"
    if asked == "auto":
        return "graph" if on_gpu else "eager"
    return asked


def _cpu_name() -> str:
    """Machine and instruction sets: what picks the kernels."""
    sets = [torch.backends.cpu.get_cpu_capability(), *_half_units()]
    return " ".join([platform.machine(), *sets])


def _half_units() -> list[str]:
    """The CPU's units for bfloat16 products; torch asks no system but Linux."""
    flags = cpu_flags()
    return [name for flag, name in (("avx512_bf16", "BF16"), ("amx_bf16", "AMX")) if flag in flags]
