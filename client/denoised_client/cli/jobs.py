"""`denoised jobs`, `show`, `download`, `cancel` and `delete`."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import click

from denoised_client.cli.options import pairs
from denoised_client.cli.output import json_option, line_about, note, row_about, tell, tell_all
from denoised_client.cli.status import told
from denoised_client.client import Client
from denoised_client.errors import ApiError
from denoised_client.job import Job


def see_to_its_end(
    job: Job, out: Path | None, *, overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Wait for a job, save its images if there is where to, and tell how it ended.

    Raises JobEnded where it did not succeed.
    """
    progress = False if quiet else None
    try:
        if out is None:
            job.wait(progress=progress)
        else:
            job.save(out, overwrite=overwrite, progress=progress)
    finally:
        if job.done:
            tell(job.snapshot, line_about(job.snapshot), as_json=as_json)


@click.command()
@click.option("--status", "statuses", multiple=True, help="Those of this status; may be repeated.")
@click.option("--model", "models", multiple=True, help="Those of this model; may be repeated.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Those that have it.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@json_option
@click.pass_obj
def jobs(
    client: Client,
    statuses: Sequence[str],
    models: Sequence[str],
    metadata: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    listed = client.jobs(status=statuses or None, model=models or None, metadata=pairs(metadata))
    tell_all((job.snapshot for job in islice(listed, limit)), row_about, as_json=as_json)


@click.command()
@click.argument("job_id", metavar="JOB")
@json_option
@click.pass_obj
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show a job as it stands."""
    job = client.job(job_id).snapshot
    tell(job, job.model_dump_json(indent=2, exclude={"images"}), as_json=as_json)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to save its images in.",
)
@click.option("--overwrite", is_flag=True, help="Of files that are other images, too.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def download(
    client: Client, job_id: str, out: Path, overwrite: bool, quiet: bool, as_json: bool
) -> None:
    """Save a job's images, also while it runs. Begun again, it fetches what is missing."""
    see_to_its_end(client.job(job_id), out, overwrite=overwrite, quiet=quiet, as_json=as_json)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@json_option
@click.pass_obj
def cancel(client: Client, job_ids: Sequence[str], as_json: bool) -> int:
    """Cancel jobs. Images that are finished stay."""

    def cancel_one(job_id: str) -> None:
        job = client.job(job_id).cancel().snapshot
        tell(job, line_about(job), as_json=as_json)

    return _each(job_ids, cancel_one)


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True)
@click.pass_obj
def delete(client: Client, job_ids: Sequence[str]) -> int:
    """Delete jobs and their images. What runs is canceled."""

    def delete_one(job_id: str) -> None:
        client.delete(job_id)
        note(f"{job_id} deleted")

    return _each(job_ids, delete_one)


def _each(job_ids: Sequence[str], do: Callable[[str], None]) -> int:
    """What the service refuses of one job is told, and keeps no other from being done; the exit
    status."""
    status = 0
    for job_id in job_ids:
        try:
            do(job_id)
        except ApiError as error:
            status = told(error, about=f"{job_id}: ")
    return status


COMMANDS = (jobs, show, download, cancel, delete)
