"""RFC 7240: what the client would rather have. What we do not know, or cannot read, we ignore."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LONGEST_WAIT_S = 60
PREFERENCE = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*"?([^";]*?)"?)?\s*(?:;.*)?')


@dataclass(frozen=True, slots=True)
class Preferences:
    """Those we honour."""

    wait_s: int | None = None  # `wait=N`: hold the answer until the job is done, or N seconds
    strict: bool = False  # `handling=strict`: refuse rather than queue where nobody is there

    @property
    def headers(self) -> Mapping[str, str]:
        """Preference-Applied, where any was."""
        waits = ["wait"] if self.wait_s is not None else []
        applied = [*waits, *(["handling=strict"] if self.strict else [])]
        return MappingProxyType({"Preference-Applied": ", ".join(applied)} if applied else {})


def parse(fields: Iterable[str]) -> Preferences:
    """All Prefer fields of a request; of a preference named twice, the first counts."""
    named: dict[str, str] = {}
    for match in map(PREFERENCE.fullmatch, ",".join(fields).split(",")):
        if match is not None:
            named.setdefault(match[1].lower(), (match[2] or "").strip())
    return Preferences(
        wait_s=_seconds(named.get("wait", "")), strict=named.get("handling") == "strict"
    )


def _seconds(text: str) -> int | None:
    """At most LONGEST_WAIT_S, also where more is asked for; None where it is no number."""
    if not re.fullmatch("[0-9]{1,9}", text):
        return None
    return min(int(text), LONGEST_WAIT_S)
