"""What all three ways to ask for images have in common, as options."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])
SAMPLER = ("steps", "eta", "spacing", "variance", "clip")  # beside its name
PLAIN = (
    "model",
    "n",
    "seed",
    "first_index",
    "t",
    "guidance",
    "priority",
    "timeout_s",
    "ttl_s",
    "idempotency_key",
)  # that are sent as they are

ASKED = (
    click.option("-n", type=int, help="How many images."),
    click.option(
        "--seed", type=int, help="Same seed, same pixels. Drawn by the service if left out."
    ),
    click.option("--first-index", type=int, help="Begin at this image of the seed."),
    click.option("--model", help="Needed where several are served."),
    click.option("--sampler", help="ddpm, ddim or dpmpp-2m."),
    click.option("--steps", type=int, help="Of the sampler."),
    click.option("--eta", type=float, help="Of ddim: 0 to 1."),
    click.option("--spacing", help="Of the sampler's steps."),
    click.option("--variance", help="Of ddpm."),
    click.option("--clip", type=float, help="Of the predicted x0."),
    click.option("--label", "labels", multiple=True, help="One for all images, or one for each."),
    click.option("--guidance", type=float, help="How strongly towards the label."),
    click.option("--scale", type=int, help="Each pixel becomes scale x scale pixels."),
    click.option("--priority", type=click.Choice(["low", "normal", "high"])),
    click.option("--timeout-s", type=int, help="A job that runs longer fails."),
    click.option("--ttl-s", type=int, help="How long the service keeps the images."),
    click.option(
        "--metadata", "metadata", multiple=True, metavar="KEY=VALUE", help="To find it by."
    ),
    click.option("--idempotency-key", help="Asking twice with it makes one job."),
    click.option("--strict", is_flag=True, help="Refuse, rather than queue, without a worker."),
)
DONE_WITH = (
    click.option(
        "-o",
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="Save the images here.",
    ),
    click.option("--overwrite", is_flag=True, help="Of files that are other images, too."),
    click.option("--detach", is_flag=True, help="Do not wait; tell the job's id."),
    click.option("--dry-run", is_flag=True, help="Tell what it would be and cost; queue nothing."),
    click.option("--cancel-on-interrupt", is_flag=True, help="Ctrl-C cancels the job too."),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
)


def request_options(command: Command) -> Command:
    """All of them, in this order."""
    for option in reversed((*ASKED, *DONE_WITH)):
        command = option(command)
    return command


def request_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The client's keyword arguments. Raises click.UsageError."""
    asked = {name: given[name] for name in PLAIN if given.get(name) is not None}
    if (sampler := _sampler(given)) is not None:
        asked["sampler"] = sampler
    if given["labels"]:
        asked["labels"] = [_label(text) for text in given["labels"]]
    if given["scale"] is not None:
        asked["output"] = {"scale": given["scale"]}
    if given["metadata"]:
        asked["metadata"] = pairs(given["metadata"])
    if given["strict"]:
        asked["strict"] = True
    return asked


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE, each. Raises click.UsageError."""
    split = [text.partition("=") for text in texts]
    if any(not equals or not key for key, equals, _ in split):
        raise click.UsageError("--metadata is KEY=VALUE")
    return {key: value for key, _, value in split}


def _sampler(given: Mapping[str, Any]) -> dict[str, Any] | None:
    settings = {name: given[name] for name in SAMPLER if given[name] is not None}
    if settings and given["sampler"] is None:
        raise click.UsageError(f"--{next(iter(settings))} needs --sampler: of which one?")
    return None if given["sampler"] is None else {"name": given["sampler"], **settings}


def _label(text: str) -> str | int:
    """Raises click.UsageError."""
    try:
        return int(text) if text.isascii() and text.isdigit() else text
    except ValueError as error:  # Python reads no number of more than some thousand digits
        raise click.UsageError(f"--label: a number of {len(text)} digits is no class") from error
