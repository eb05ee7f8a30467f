"""API keys: a file of names, hashes and quotas. `python -m app.keys NAME` makes one.

The keys themselves are nowhere but with their owners. They are 256 random bits, so a plain hash
keeps them: there is nothing to guess.
"""

import argparse
import hashlib
import hmac
import json
import logging
import secrets
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from protocol.job_record import DEFAULT_TENANT
from protocol.messages import SHA256_PATTERN

log = logging.getLogger(__name__)
PREFIX = "dn_"  # so that a key found somewhere tells what it is
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
MAX_FILE_BYTES = 2**20

Scope = Literal["admin"]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]


class KeysError(Exception):
    """What is wrong with the file, in one line."""


class Strict(BaseModel):
    """What stands in the file: nothing unknown, nothing converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Quotas(Strict):
    """What the owner of a key may have; None: no bound."""

    requests_per_s: Annotated[float, Field(gt=0.0, le=1e5)] | None = None
    burst: Annotated[int, Field(ge=1, le=10**6)] | None = None  # at once; None: two seconds' worth
    queued_images: Annotated[int, Field(ge=1)] | None = None  # accepted and not yet made
    images_per_day: Annotated[int, Field(ge=1)] | None = None  # accepted since midnight UTC


NO_QUOTAS = Quotas()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `name` is the tenant that jobs belong to."""

    name: str
    scopes: frozenset[Scope]
    quotas: Quotas


ANYBODY = Caller(DEFAULT_TENANT, frozenset({"admin"}), NO_QUOTAS)  # where there are no keys


def _several(hashes: object) -> object:
    return (hashes,) if isinstance(hashes, str) else hashes


class Entry(Strict):
    """One owner. Two hashes, while an old key is replaced by a new one."""

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
    sha256: Annotated[
        tuple[Sha256, ...],
        BeforeValidator(_several),
        Field(strict=False, min_length=1, max_length=8),
    ]
    scopes: Annotated[frozenset[Scope], Field(strict=False)] = frozenset()
    quotas: Quotas = NO_QUOTAS

    @property
    def caller(self) -> Caller:
        """Its owner, as the rest of the program knows them."""
        return Caller(self.name, self.scopes, self.quotas)


class KeyRing:
    """The keys of a file. Raises KeysError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = read(path)

    def reload(self) -> None:
        """Read the file again; a bad one changes nothing."""
        try:
            self._entries = read(self._path)
        except KeysError as error:
            log.error("keys stay as they are: %s", error)
        else:
            log.info("keys of %d owners read from %s", len(self._entries), self._path)

    def owner_of(self, key: str) -> Caller | None:
        """Whose key this is. Takes the same time wherever it stands, and if it does not."""
        digest, owner = sha256_of(key), None
        for entry in self._entries:
            for known in entry.sha256:
                if hmac.compare_digest(known, digest):
                    owner = entry.caller
        return owner


def read(path: Path) -> tuple[Entry, ...]:
    """The owners in a file, TOML or JSON by its name. Raises KeysError."""
    try:
        entries = _ENTRIES.validate_python(_parsed(path).get("keys"))
    except ValidationError as error:
        raise KeysError(f"{path}: {_faults(error)}") from error
    _check_unique(path, entries)
    return entries


def sha256_of(key: str) -> str:
    """As it stands in the file, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode()
        parsed = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise KeysError(f"{path}: neither JSON nor TOML, by its name: {error}") from error
    if not isinstance(parsed, dict) or set(parsed) != {"keys"}:
        raise KeysError(f"{path}: must hold a list `keys` and nothing else")
    return parsed


def _check_unique(path: Path, entries: tuple[Entry, ...]) -> None:
    names = [entry.name for entry in entries]
    hashes = [known for entry in entries for known in entry.sha256]
    if len(set(names)) < len(names):
        raise KeysError(f"{path}: a name stands there twice; give one entry several hashes instead")
    if len(set(hashes)) < len(hashes):
        raise KeysError(f"{path}: a sha256 stands there twice")


def _faults(error: ValidationError) -> str:
    """Where and why; never what stands there, which may be a key put in the wrong place."""
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(
        f"keys{''.join(f'.{part}' for part in fault['loc'])}: {fault['msg']}"
        for fault in faults[:5]
    )


_ENTRIES = TypeAdapter(Annotated[tuple[Entry, ...], Field(strict=False, min_length=1)])


def main() -> int:
    """Make a key: it goes to stderr, this once, and its entry to stdout, for the file."""
    parser = argparse.ArgumentParser(prog="python -m app.keys", description=main.__doc__)
    parser.add_argument("name", help="of the owner: the tenant that jobs will belong to")
    parser.add_argument("--admin", action="store_true", help="may read /v1/stats and /metrics")
    asked = parser.parse_args()
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        entry = Entry(name=asked.name, sha256=(sha256_of(key),))
    except ValidationError:
        parser.error(f"a name must match {NAME_PATTERN}")
    scopes = 'scopes = ["admin"]\n' if asked.admin else ""
    sys.stderr.write(f"The key, shown this once: {key}\n")
    sys.stdout.write(
        f'[[keys]]\nname = "{entry.name}"\nsha256 = "{entry.sha256[0]}"\n{scopes}'
        "# quotas = { requests_per_s = 20, queued_images = 10000, images_per_day = 100000 }\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
