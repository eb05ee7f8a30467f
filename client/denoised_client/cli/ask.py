"""`denoised sample`, `variations` and `interpolate`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from denoised_client.cli.jobs import see_to_its_end
from denoised_client.cli.options import request_of, request_options
from denoised_client.cli.output import json_option, note, tell
from denoised_client.client import Client
from denoised_client.job import Job
from denoised_client.source_images import JobImage
from denoised_client.submission import Task

SEEN_WITH = ("overwrite", "quiet", "as_json")
JOB_IMAGE = re.compile(r"(job_[0-9A-Za-z]+):(\d+)")


def _source_image(context: click.Context, parameter: click.Parameter, text: str) -> Path | JobImage:
    """A PNG file, or JOB:INDEX, as the client takes it."""
    if match := JOB_IMAGE.fullmatch(text):
        return JobImage(match[1], int(match[2]))
    if not Path(text).is_file():
        raise click.BadParameter(f"{text} is neither a file nor JOB:INDEX", context, parameter)
    return Path(text)


@click.command()
@request_options
@json_option
@click.pass_obj
def sample(client: Client, /, **given: Any) -> None:
    """Draw N images of a seed."""
    _ask(client, "sample", {}, given)


@click.command()
@click.argument("image", callback=_source_image)
@click.option("-t", type=int, required=True, help="How far IMAGE is noised: 1 to the model's T.")
@request_options
@json_option
@click.pass_obj
def variations(client: Client, /, image: Path | JobImage, **given: Any) -> None:
    """Draw N variations of IMAGE, which is a PNG file, or JOB:INDEX."""
    _ask(client, "variations", {"image": image}, given)


@click.command()
@click.argument("image_a", callback=_source_image)
@click.argument("image_b", callback=_source_image)
@click.option("-t", type=int, required=True, help="How far both are noised: 1 to the model's T.")
@click.option("--lambda", "lambdas", type=float, multiple=True, help="Where between them: 0 to 1.")
@request_options
@json_option
@click.pass_obj
def interpolate(
    client: Client,
    /,
    image_a: Path | JobImage,
    image_b: Path | JobImage,
    lambdas: Sequence[float],
    **given: Any,
) -> None:
    """Draw N images on the way from IMAGE_A to IMAGE_B: PNG files, or JOB:INDEX."""
    images: dict[str, Any] = {"image_a": image_a, "image_b": image_b}
    _ask(client, "interpolate", images | ({"lambdas": lambdas} if lambdas else {}), given)


COMMANDS = (sample, variations, interpolate)


def _ask(client: Client, task: Task, images: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    asked = {**images, **request_of(given)}
    if given["dry_run"]:
        would_be = client.dry_run(task, **asked)
        return tell(would_be, would_be.model_dump_json(indent=2), as_json=given["as_json"])
    job = client.submit(task, **asked)
    if given["detach"]:
        return tell(job.snapshot, job.id, as_json=given["as_json"])
    try:
        note(f"{job.id} queued")
        see_to_its_end(job, given["out"], **{name: given[name] for name in SEEN_WITH})
    except KeyboardInterrupt:
        note(f"\n{_left(job.cancel() if given['cancel_on_interrupt'] else job)}")
        raise


def _left(job: Job) -> str:
    """What becomes of a job whose command was interrupted."""
    fetch = f"its images: denoised download {job.id} -o DIR"
    if job.done or job.status == "canceling":
        return f"{job.id} is {job.status}; {fetch}"
    return f"{job.id} goes on; to cancel it: denoised cancel {job.id}; {fetch}"
