"""`denoised models`, `stats` and `verify`."""

from pathlib import Path

import click

from denoised_client.cli.output import json_option, tell, tell_all
from denoised_client.client import Client
from denoised_client.resources import Model


@click.command()
@json_option
@click.pass_obj
def models(client: Client, as_json: bool) -> None:
    """List what can be asked for."""
    tell_all(client.models(), _row, as_json=as_json)


@click.command()
@json_option
@click.pass_obj
def stats(client: Client, as_json: bool) -> None:
    """Tell what the service is doing now."""
    now = client.stats()
    tell(now, now.model_dump_json(indent=2), as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def verify(client: Client, file: Path, as_json: bool) -> int:
    """Sample the image of FILE, a PNG made here, again. Exit status 1 unless its pixels match."""
    found = client.verify(file)
    about = "" if found.reason is None else f": {found.reason}"
    tell(found, f"{found.result}{about}", as_json=as_json)
    return 0 if found.result == "match" else 1


COMMANDS = (models, stats, verify)


def _row(model: Model) -> tuple[object, ...]:
    size = f"{model.image_size_px}x{model.image_size_px}x{model.channels}"
    samplers = ",".join(sampler.name for sampler in model.samplers)
    workers = f"{len(model.workers)} worker" + ("" if len(model.workers) == 1 else "s")
    return model.name, size, f"T={model.T}", samplers, workers
