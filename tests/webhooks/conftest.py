"""An endpoint and the secret it verifies with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webhooks.receiver import Receiver
from webhooks.signing import new_secret

SECRET = new_secret()


def write_secret(data_dir: Path) -> None:
    """Where a sender finds it."""
    (data_dir / "webhook-secrets.toml").write_text(f'"*" = ["{SECRET}"]\n')


@pytest.fixture
def sender_dir(tmp_path: Path) -> Path:
    """A sender's data, with the secret in it."""
    write_secret(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """One for all: each test asks for paths of its own."""
    with Receiver.start(SECRET) as receiver:
        yield receiver
