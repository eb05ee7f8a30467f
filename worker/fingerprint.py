"""What resolves the numerics, once, and its name.

Kernels round differently for another shape, precision, thread count, library or chip. All of it is
fixed before the first job, from capabilities and configuration and never from a timing, and hashed
into the fingerprint that every image records. Within a fingerprint, pixels are equal.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass

import torch

CPU_CHUNK, CUDA_CHUNK = 16, 64


@dataclass(frozen=True)
class Numerics:
    """Everything that decides how a number rounds, but the weights."""

    device: str  # "cpu" or "cuda"
    chip: str
    torch: str
    threads: int  # of one operation, on the CPU
    precision: str  # of the network; states and updates are float32 always
    mode: str
    chunk: int  # rows a forward pass is padded to

    def fingerprint(self, model_sha256: str) -> str:
        """16 hex digits; equal fingerprints give equal pixels."""
        text = json.dumps({**asdict(self), "model": model_sha256}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(*, device: str, threads: int, chunk: int | None = None) -> Numerics:
    """The numerics of this process: float32, eager; `device` is "auto", "cpu" or "cuda".

    Raises ValueError where the device asked for is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for, but torch sees no CUDA device")
    on_gpu = device == "cuda"
    return Numerics(
        device=device,
        chip=torch.cuda.get_device_name() if on_gpu else _cpu_name(),
        torch=str(torch.__version__),
        threads=0 if on_gpu else threads,
        precision="float32",
        mode="eager",
        chunk=chunk or (CUDA_CHUNK if on_gpu else CPU_CHUNK),
    )


def apply(numerics: Numerics) -> None:
    """Set torch's process-wide switches to what the numerics say."""
    if numerics.device == "cpu":
        torch.set_num_threads(numerics.threads)
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _cpu_name() -> str:
    """Machine and instruction set: what picks the kernels."""
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
