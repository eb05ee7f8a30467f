"""How much a caller has left, as headers (draft-ietf-httpapi-ratelimit-headers)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` units in `window_s` seconds (None: at any time), `left` of them now, and when there
    will be more (None: nobody can say)."""

    name: str
    quota: int
    window_s: int | None
    left: int
    reset_s: int | None
    unit: str | None = None  # None: requests


def headers_of(limit: Limit) -> Mapping[str, str]:
    """RateLimit-Policy and RateLimit."""
    policy = {"q": limit.quota, "w": limit.window_s, "qu": limit.unit and f'"{limit.unit}"'}
    state = {"r": max(0, limit.left), "t": limit.reset_s}
    return {
        "RateLimit-Policy": _item(limit.name, policy),
        "RateLimit": _item(limit.name, state),
    }


def _item(name: str, parameters: Mapping[str, object]) -> str:
    """A structured field (RFC 9651); what is None is left out."""
    known = (f";{key}={value}" for key, value in parameters.items() if value is not None)
    return f'"{name}"{"".join(known)}'
