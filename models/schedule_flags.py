"""The schedule of a network whose file does not tell it, from a command line."""

import argparse
from typing import get_args

from models.diffusers_config import CheckpointError
from models.diffusers_scheduler import SCHEDULES, parse_scheduler_config
from models.schedule import NoiseSchedule, ScheduleName, linear_schedule

PAPER = linear_schedule()
FLAGS = {  # by what they are in scheduler_config.json
    "num_train_timesteps": "--timesteps",
    "beta_start": "--beta-start",
    "beta_end": "--beta-end",
    "beta": "--timesteps with these betas",
}


def add_schedule_flags(parser: argparse.ArgumentParser) -> None:
    """--schedule, --timesteps, --beta-start, --beta-end; without them it is the paper's."""
    flags = parser.add_argument_group(
        "schedule",
        "What the network was trained with: the file itself does not tell, and with another one it "
        "draws noise. Without these it is the paper's. Of ermongroup/ddim's, quad, const and jsd "
        "are not among them.",
    )
    flags.add_argument("--schedule", choices=get_args(ScheduleName), default="linear")
    flags.add_argument(
        "--timesteps", type=int, default=PAPER.T, metavar="T", help=f"{PAPER.T} if left out"
    )
    flags.add_argument(
        "--beta-start", type=float, metavar="BETA", help=f"{PAPER.start} if left out"
    )
    flags.add_argument("--beta-end", type=float, metavar="BETA", help=f"{PAPER.end} if left out")


def schedule_of(args: argparse.Namespace) -> NoiseSchedule:
    """What the flags say, by the rules for scheduler_config.json. Raises CheckpointError."""
    betas = {"beta_start": args.beta_start, "beta_end": args.beta_end}
    given = {key: beta for key, beta in betas.items() if beta is not None}
    if given and args.schedule == "cosine":
        raise CheckpointError(f"{FLAGS[min(given)]}: the cosine schedule has no use for it")
    raw = {
        "num_train_timesteps": args.timesteps,
        "beta_schedule": SCHEDULES[args.schedule],
        "beta_start": PAPER.start,
        "beta_end": PAPER.end,
    }
    try:
        return parse_scheduler_config(raw | given)[0]
    except ValueError as error:  # CheckpointErrors, and the schedule's own
        raise CheckpointError(_by_flags(str(error))) from error


def _by_flags(fault: str) -> str:
    for key, flag in FLAGS.items():
        fault = fault.replace(f"{key}:", f"{flag}:")
    return fault
