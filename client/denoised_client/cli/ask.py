"""`denoised sample`, `variations` and `interpolate`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from denoised_client.cli.jobs import see_to_its_end
from denoised_client.cli.options import request_of, request_options
from denoised_client.cli.output import json_option, note, tell
from denoised_client.client import Client
from denoised_client.errors import DenoisedError
from denoised_client.image_folder import ImageFolder
from denoised_client.job import Job
from denoised_client.source_images import JobImage
from denoised_client.submission import Task

SEEN_WITH = ("overwrite", "quiet", "as_json")
JOB_IMAGE = re.compile(r"(job_[0-9A-Za-z]+):(\d{1,20})")


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
        tell(would_be, would_be.model_dump_json(indent=2), as_json=given["as_json"])
    elif given["detach"]:
        job = client.submit(task, **asked)
        tell(job.snapshot, job.id, as_json=given["as_json"])
    else:
        _ask_and_stay(client, task, asked, given)


def _ask_and_stay(
    client: Client, task: Task, asked: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    if given["out"] is not None:
        ImageFolder(given["out"], scale=1).prepare()  # no job for images that could not be saved
    job = client.submit(task, **asked)
    with _told_of(job, canceled=given["cancel_on_interrupt"]):
        note(f"{job.id} queued")
        see_to_its_end(job, given["out"], **{name: given[name] for name in SEEN_WITH})


@contextmanager
def _told_of(job: Job, *, canceled: bool) -> Iterator[None]:
    """Who interrupts, or cannot save what comes, is told what becomes of the job. Passes on what
    is raised. `canceled`: by an interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        note("")
        try:
            if canceled:
                _try_to_cancel(job)
        finally:  # also when even that is interrupted
            note(_left(job))
        raise
    except OSError:
        note(_left(job))
        raise


def _try_to_cancel(job: Job) -> None:
    try:
        job.cancel()
    except DenoisedError as error:
        note(f"no answer to canceling {job.id}: {error}")


def _left(job: Job) -> str:
    """What becomes of a job whose command has ended before it."""
    fetch = f"its images: denoised download {job.id} -o DIR"
    if job.done or job.status == "canceling":
        return f"{job.id} is {job.status}; {fetch}"
    return f"{job.id} goes on; to cancel it: denoised cancel {job.id}; {fetch}"
