"""What `make up` and `make demo` are told, from the environment; make passes its variables on."""

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from launch.child import ROOT


def _at_home(path: Path) -> Path:
    """Of a `~` that no shell has expanded: zsh leaves it in `make up DATA_DIR=~/x`."""
    return Path(os.path.expanduser(path))  # as it is where there is no such user


HomePath = Annotated[Path, AfterValidator(_at_home)]
Grace = Annotated[float, Field(ge=0, validation_alias="WORKER_GRACE_S")]


class SettingsError(Exception):
    """What is wrong with which setting, and the way out, in one line."""


class UpSettings(BaseSettings):
    """PORT, HOST, DATA_DIR, WORKERS, MODEL; REDIS_URL for a Redis that runs already.

    DURABILITY is of the one we run ourselves: see `redis_server.FSYNC`. WORKER_GRACE_S is the
    workers', who read it themselves: we must not lose patience before.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    data_dir: HomePath = Path("data")
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    model: HomePath = ROOT / "models" / "pretrained" / "fashion-mnist"
    redis_url: str | None = None
    durability: Literal["normal", "strict"] = "strict"
    grace_s: Grace = 20.0

    @property
    def url(self) -> str:
        """The API's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class DemoSettings(BaseSettings):
    """OUT and MODEL."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    out: HomePath = Path("demo")
    model: HomePath = UpSettings.model_fields["model"].default


def read_up() -> UpSettings:
    """Checked. Raises SettingsError."""
    try:
        settings = UpSettings()
    except ValidationError as error:
        raise SettingsError(one_line(error)) from error
    check_model(settings.model)
    return settings


def check_model(model: Path) -> None:
    """Before minutes are spent on it; the worker reads what is inside. Raises SettingsError."""
    if not model.is_dir() and not may_be_hub_id(model):
        raise SettingsError(
            f"MODEL: {model} is not a folder; name one with a checkpoint in it, or an id on the Hub"
        )


def may_be_hub_id(model: Path) -> bool:
    """owner/name or owner/name@revision, and no folder of that name; the worker asks the Hub."""
    repository = Path(str(model).partition("@")[0])  # a revision may have slashes: refs/pr/1
    return not model.exists() and not model.is_absolute() and len(repository.parts) == 2


def check_port(host: str, port: int) -> None:
    """Whether the API could listen there. Raises SettingsError."""
    try:
        asyncio.run(_bind(host, port))
    except OSError as error:
        raise SettingsError(_why_not(host, port, error)) from error
    except UnicodeError as error:  # of a label that is empty or too long
        raise SettingsError(f"HOST: {host} is not a name that a machine can have") from error


async def _bind(host: str, port: int) -> None:
    """As the API will, which also knows best which addresses a name stands for."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
    server.close()


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"PORT: {port} is for root; choose one above 1023"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: stop what uses it, or `make up PORT={port + 1}`"
    return f"HOST: cannot listen on {host}: {error.strerror or error}"


def free_port() -> int:
    """One that nobody uses at the moment, on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def one_line(error: ValidationError) -> str:
    """What is wrong with which variable."""
    faults = (f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)


def worker_threads(workers: int) -> int:
    """Of each, when they share this machine."""
    return max(1, (os.cpu_count() or 1) // workers)
