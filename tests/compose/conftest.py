"""The stack, built and started once; without an engine all of this is skipped, and says why."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet
from tests.compose.stack import Stack
from tests.conftest import TINY

CPU = ("docker-compose.yml", "docker-compose.cpu.yml")


def trouble() -> str | None:
    """Why no stack can be started here."""
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "docker is not installed"
    if asked.returncode != 0:
        return f"no engine: {asked.stderr.strip()}"
    compose = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return None if compose.returncode == 0 else "docker has no compose"


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skips everything where there is none."""
    if reason := trouble():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A password, and a folder of one's own models with a tiny one in it."""
    folder = tmp_path_factory.mktemp("compose")
    password = folder / "redis-password"
    password.write_text("p@ss/word:1 2\n".replace(" ", ""))
    password.chmod(0o644)
    models = folder / "models"
    torch.manual_seed(0)
    net = UNet(TINY).state_dict()
    save_checkpoint(models / "tiny", TINY, net, linear_schedule(), card={"name": "tiny"})
    for path in (models, *models.rglob("*")):  # the containers' user is not ours
        path.chmod(0o755 if path.is_dir() else 0o644)
    return {
        "REDIS_PASSWORD_FILE": str(password),
        "MODELS_DIR": str(models),
        "MODELS": "tiny",
        "WORKER_THREADS": "1",
    }


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Iterator[Stack]:
    """Built, started and healthy; taken down with its volumes."""
    stack = Stack("denoised-test", CPU, environment)
    with_everything_removed(stack)
    try:
        stack.compose("up", "--detach", "--build", "--wait")
        yield stack
    finally:
        with_everything_removed(stack)


def with_everything_removed(stack: Stack) -> None:
    """Containers, networks and volumes; images stay, so that the next run is quick."""
    stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that the containers' user can write to as well."""
    tmp_path.chmod(0o777)
    return tmp_path
