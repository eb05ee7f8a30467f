"""`python -m launch.torch_index`: where pip should look for torch, as an option for it, or nothing.

PyPI's torch for Linux brings gigabytes of CUDA. Where no NVIDIA GPU is seen, PyTorch's own index
has the same version without; where that cannot be reached, pip takes what it finds. Needs nothing
but Python: it runs before anything is installed.
"""

import os
import shutil
import sys
from urllib.error import URLError
from urllib.request import urlopen

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TIMEOUT_S = 5


def option(index: str | None, *, wants_cpu: bool) -> str:
    """`index`: what the user chose, "" for none; None: nothing chosen."""
    if index is not None:
        return f"--extra-index-url {index}" if index else ""
    return f"--extra-index-url {CPU_INDEX}" if wants_cpu and answers(CPU_INDEX) else ""


def answers(index: str) -> bool:
    """Whether an index is there, within seconds."""
    try:
        with urlopen(f"{index}/torch/", timeout=TIMEOUT_S):  # nosec B310  # https, or the caller's own
            return True
    except (URLError, TimeoutError):
        return False


def main() -> None:
    """To stdout, for the Makefile."""
    wants_cpu = sys.platform == "linux" and shutil.which("nvidia-smi") is None
    sys.stdout.write(option(os.environ.get("TORCH_INDEX"), wants_cpu=wants_cpu))


if __name__ == "__main__":
    main()
