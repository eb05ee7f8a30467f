"""A progress bar for commands whose stdout is for what they found."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def tracked(items: Iterable[Item], what: str, *, total: int) -> Iterator[Item]:
    """The items, and on stderr how many of `total` there were; nothing is left of it at the end."""
    console = Console(stderr=True)
    return iter(track(items, what, total=total, console=console, transient=True))
