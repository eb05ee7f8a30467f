"""One GPU for each worker: the workers of a host deal its GPUs out among themselves.

A GPU has places, numbered from 0, and a place is a locked file in DATA_DIR. A worker takes the
first place that is free on any GPU, then the second on any: so each gets a GPU to itself while
there are enough, and they share evenly when there are not. The kernel lets go of a lock when its
process ends, however it ends, and containers that share a volume share its locks.
"""

import fcntl
import logging
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TextIO

log = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """On a GPU, ours as long as the file is open."""

    gpu: str  # its UUID
    number: int  # 0: nobody was there before
    lock: TextIO


def take_gpu(data_dir: Path) -> Place | None:
    """Take a place and show this process that GPU alone; call it before CUDA is asked anything.

    None, and nothing done, where there is no GPU or CUDA_VISIBLE_DEVICES has chosen already.
    """
    if VISIBLE in os.environ:
        return None
    gpus = listed(_nvidia_smi())
    if not gpus:
        return None
    place = first_free(gpus, data_dir / "gpus")
    os.environ[VISIBLE] = place.gpu
    log.info("GPU %s, with %d workers there before", place.gpu, place.number)
    return place


def listed(text: str) -> list[str]:
    """UUIDs from `nvidia-smi -L`. A GPU that is cut into slices counts as these."""
    uuids: list[str] = re.findall(r"\(UUID: ([\w./-]+)\)", text)
    cut = {whole for whole, part in zip(uuids, uuids[1:], strict=False) if part.startswith("MIG-")}
    return [uuid for uuid in uuids if uuid.startswith("MIG-") or uuid not in cut]


def first_free(gpus: Sequence[str], folder: Path) -> Place:
    """The lowest place that is free, on the first GPU that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    places = ((gpu, number) for number in count() for gpu in gpus)
    return next(place for gpu, number in places if (place := _locked(folder, gpu, number)))


def _locked(folder: Path, gpu: str, number: int) -> Place | None:
    lock = (folder / f"{gpu.replace('/', '-')}.{number}").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return Place(gpu, number, lock)


def _nvidia_smi() -> str:
    """Empty where there is no driver. Asked for without CUDA, which reads its environment once."""
    try:
        asked = ["nvidia-smi", "-L"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    except FileNotFoundError:
        return ""
    except subprocess.SubprocessError as error:
        log.warning("no GPU is told apart: %s", error)
        return ""
