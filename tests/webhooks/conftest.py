"""An endpoint, a file of secrets, jobs that end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webhooks.receiver import Receiver
from webhooks.signing import SecretsFile, new_secret

SECRET = new_secret()


@pytest.fixture
def sender_dir(tmp_path: Path) -> Path:
    """A sender's data, with its secret in it."""
    (tmp_path / "webhook-secrets.toml").write_text(f'"*" = ["{SECRET}"]\n')
    return tmp_path


@pytest.fixture
def secrets(sender_dir: Path) -> SecretsFile:
    return SecretsFile(sender_dir / "webhook-secrets.toml")


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """One for all: each test asks for paths of its own."""
    with Receiver.start(SECRET) as receiver:
        yield receiver
