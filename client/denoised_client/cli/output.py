"""What goes to stdout: JSON documents, one a line, or columns to read. All else goes to stderr."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click

from denoised_client.resources import JobSnapshot, Resource

Command = TypeVar("Command", bound=Callable[..., object])

json_option: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="JSON on stdout, one document a line."
)


def tell(resource: Resource, text: str, *, as_json: bool) -> None:
    """A resource, as a document or as a text about it."""
    click.echo(resource.model_dump_json() if as_json else text)


def tell_all(
    resources: Iterable[Resource], row: Callable[..., Sequence[object]], *, as_json: bool
) -> None:
    """Resources, each on its line as soon as it is known if they are documents."""
    if as_json:
        for resource in resources:
            click.echo(resource.model_dump_json())
        return
    rows = [[str(cell) for cell in row(resource)] for resource in resources]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def note(text: str) -> None:
    """For the person at the terminal."""
    click.echo(text, err=True)


def line_about(job: JobSnapshot) -> str:
    """A job on one line."""
    done = f"{job.progress.images_done}/{job.progress.images_total} images"
    return f"{job.id} {job.status}, {done}"


def row_about(job: JobSnapshot) -> Sequence[object]:
    """A job among others."""
    created = f"{job.created_at:%Y-%m-%d %H:%M:%S}Z"
    done = f"{job.progress.images_done}/{job.progress.images_total}"
    return job.id, job.status, job.task, job.model.name, done, created
