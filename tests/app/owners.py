"""Owners of API keys, as a file, and the headers they send."""

import hashlib
from pathlib import Path

QUOTAS = {
    "anna": "{}",
    "bert": "{}",
    "root": "{}",
    "hasty": "{ requests_per_s = 0.001, burst = 2 }",
    "small": "{ queued_images = 5 }",
    "daily": "{ images_per_day = 5 }",
}


def key_of(name: str) -> str:
    return f"dn_the-key-of-{name}"


def header(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key_of(name)}"}


def entry(name: str) -> str:
    sha256 = hashlib.sha256(key_of(name).encode()).hexdigest()
    scopes = '["admin"]' if name == "root" else "[]"
    quotas = QUOTAS.get(name, "{}")
    return f'[[keys]]\nname = "{name}"\nsha256 = "{sha256}"\nscopes = {scopes}\nquotas = {quotas}\n'


def write(path: Path, *names: str) -> Path:
    """A file of these owners, or of all."""
    path.write_text("".join(map(entry, names or QUOTAS)))
    return path
