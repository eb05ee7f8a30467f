"""`denoised models` and `stats`."""

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


COMMANDS = (models, stats)


def _row(model: Model) -> tuple[object, ...]:
    size = f"{model.image_size_px}x{model.image_size_px}x{model.channels}"
    samplers = ",".join(sampler.name for sampler in model.samplers)
    workers = f"{len(model.workers)} worker" + ("" if len(model.workers) == 1 else "s")
    return model.name, size, f"T={model.T}", samplers, workers
