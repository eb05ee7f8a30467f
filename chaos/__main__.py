"""`python -m chaos [--seed N] [--jobs N] [--strikes N] [--workers N]`: break it, then look.

A table, then one JSON document as the last line. `--seed` deals the same blows again at the same
places; what the machine does in between is its own.
"""

import argparse
import json
import logging
import secrets
import sys
import tempfile
from pathlib import Path

import torch

from chaos.drive import run
from chaos.plan import Blow, draw
from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet, UNetConfig

QUIET_KILLS = 6
TINY = UNetConfig(
    sample_size=8,
    in_channels=1,
    out_channels=1,
    block_out_channels=(8, 16),
    layers_per_block=1,
    attention=(False, True),
    norm_num_groups=4,
)


def main() -> int:
    """Exit status: 0 if every promise held, 1 if one did not."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    plan = draw(
        arguments.seed,
        jobs=arguments.jobs,
        strikes=arguments.strikes,
        workers=arguments.workers,
        longest_s=1.0 if arguments.short else 60.0,
        quiet_kills=0 if arguments.short else QUIET_KILLS,
    )
    logging.info("seed %d, logs in %s", plan.seed, arguments.folder)
    outcome = run(plan, folder=arguments.folder, model=tiny(arguments.folder))
    for name, value in outcome.report.items():
        sys.stdout.write(f"{name:<20} {value}\n")
    sys.stdout.write(json.dumps(outcome.report) + "\n")
    return 1 if outcome.findings else 0


def tiny(folder: Path) -> Path:
    """A checkpoint of random weights: some microseconds a step."""
    torch.manual_seed(0)
    model = folder / "tiny"
    save_checkpoint(model, TINY, UNet(TINY).state_dict(), linear_schedule(), card={"name": "tiny"})
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--strikes", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--short", action="store_true", help="26 jobs, every blow once, briefly")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.jobs, arguments.strikes = 26, len(Blow)
    arguments.folder = arguments.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    return arguments


if __name__ == "__main__":
    sys.exit(main())
