"""The command `denoised`. What its exit status means is in `status`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from denoised_client.cli import ask, completion, jobs, service
from denoised_client.cli.status import INTERRUPTED, USAGE, told
from denoised_client.client import Client
from denoised_client.connection import LOCAL, own_version
from denoised_client.errors import DenoisedError
from denoised_client.retries import PATIENT

COMMANDS = (*ask.COMMANDS, *jobs.COMMANDS, *service.COMMANDS, completion.completion)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the job failed or was canceled, 2 wrong usage, "
    "3 the service refused, 4 no service, 130 interrupted.",
)
@click.option(
    "--url",
    envvar="DENOISED_URL",
    default=LOCAL,
    show_default=True,
    show_envvar=True,
    help="Where the service is.",
)
@click.option(
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file whose first line is the API key. Default: DENOISED_API_KEY, else none.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=PATIENT.retries,
    show_default=True,
    help="How often a request that failed is sent again.",
)
@click.version_option(own_version())
@click.pass_context
def cli(context: click.Context, url: str, api_key_file: Path | None, retries: int) -> None:
    """Images from a denoised service."""
    try:
        policy = replace(PATIENT, retries=retries)
        client = Client(url, api_key=_key_in(api_key_file), retries=policy)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    context.obj = context.with_resource(client)


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit status."""
    try:
        status = cli.main(arguments, prog_name="denoised", standalone_mode=False)
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USAGE
    except (DenoisedError, OSError) as error:
        return told(error)
    return status if isinstance(status, int) else 0


def _key_in(file: Path | None) -> str | None:
    if file is None:
        return None
    key = file.read_text().partition("\n")[0].strip()
    if not key:
        raise click.UsageError(f"{file}: its first line is empty; it should be the API key")
    return key
