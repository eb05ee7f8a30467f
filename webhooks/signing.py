"""Signatures as Standard Webhooks has them, and the file of secrets they are made with."""

import base64
import os
import secrets
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
EVERYBODY = "*"
NEW_FILE = """\
# Secrets that webhooks are signed with: a tenant's, or "*" for all that have none of their own.
# To rotate, put the new one first and drop the old one when receivers know the new one: until then
# every delivery carries a signature of each. Read again for each delivery.
"*" = ["{secret}"]
"""


class SecretsError(Exception):
    """What is wrong with the file; never what is in it."""


class SecretsFile:
    """TOML: tenant -> list of `whsec_...`. Read anew each time: a rotation needs no restart."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create_if_missing(self) -> bool:
        """With one new secret for everybody, for nobody but us to read; True if it was missing.

        Linked into place whole: of several senders that start at once one wins, and none reads half
        a file.
        """
        if self.path.exists():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=self.path.parent, prefix=".secrets-") as file:  # mode 0600
            file.write(NEW_FILE.format(secret=new_secret()))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, self.path)
        return True

    def of(self, tenant: str) -> list[str]:
        """A tenant's secrets, the newest first. Raises SecretsError."""
        found = self.read()
        mine = found.get(tenant) or found.get(EVERYBODY)
        if not mine:
            raise SecretsError("there is no secret to sign this tenant's webhooks with")
        return mine

    def read(self) -> dict[str, list[str]]:
        """All of it, checked. Raises SecretsError."""
        try:
            found = tomllib.loads(self.path.read_text())
        except OSError as error:
            raise SecretsError(f"{self.path}: {error.strerror}") from error
        except ValueError:  # its message may quote a line, with a secret in it
            raise SecretsError(f"{self.path} is not TOML in UTF-8") from None
        for tenant, theirs in found.items():
            if not isinstance(theirs, list) or not all(_is_secret(secret) for secret in theirs):
                raise SecretsError(
                    f"{self.path}: {tenant}: give a list of {PREFIX}, then 24 to 64 bytes in base64"
                )
        return found


def new_secret() -> str:
    """32 random bytes, as receivers' libraries take them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(delivery_id: str, at: float, body: str, keys: list[str]) -> dict[str, str]:
    """`webhook-id`, `-timestamp` (of the attempt, s) and `-signature`, one of each secret."""
    moment = datetime.fromtimestamp(int(at), UTC)
    signatures = (Webhook(key).sign(delivery_id, moment, body) for key in keys)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": " ".join(signatures),
    }


def _is_secret(secret: object) -> bool:
    if not isinstance(secret, str) or not secret.startswith(PREFIX):
        return False
    try:
        return len(base64.b64decode(secret.removeprefix(PREFIX), validate=True)) in SECRET_BYTES
    except ValueError:  # of what is no ASCII, too
        return False
