"""The deployment's files, read without an engine."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.conftest import ROOT

RESET = object()


class ComposeLoader(yaml.SafeLoader):
    """YAML, and Compose's `!reset`."""


ComposeLoader.add_constructor("!reset", lambda loader, node: RESET)


def compose(*names: str) -> dict[str, Any]:
    """Compose files, each laid over those before it."""
    merged: dict[str, Any] = {}
    for name in names:
        merged = _laid_over(merged, yaml.load((ROOT / name).read_text(), ComposeLoader))
    return merged


def _laid_over(base: Any, over: Any) -> Any:
    """As Compose merges: mappings by key, lists one after the other, the rest replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        merged = base | {key: _laid_over(base.get(key), value) for key, value in over.items()}
        return {key: value for key, value in merged.items() if value is not RESET}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return over


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions, in order: `("FROM", "python:3.11 AS packages")`."""

    instructions: tuple[tuple[str, str], ...]

    def all(self, keyword: str) -> list[str]:
        """The arguments of every instruction of a kind."""
        return [arguments for word, arguments in self.instructions if word == keyword]

    def last(self, keyword: str) -> str:
        """The one that counts."""
        return self.all(keyword)[-1]

    @property
    def sources(self) -> list[str]:
        """What is copied out of the repository."""
        copies = [copy.split() for copy in self.all("COPY") if "--from=" not in copy]
        return [word for words in copies for word in words[:-1] if not word.startswith("--")]


def dockerfile(name: str) -> Dockerfile:
    """Comments left out, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "docker" / name).read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return Dockerfile(tuple((word, arguments) for word, arguments in pairs))
