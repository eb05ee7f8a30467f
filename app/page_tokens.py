"""Where the next page of a list begins, as a text that clients pass back and do not read."""

import base64
import hashlib
import re

from app.errors import FieldError, InvalidRequest

SUM_BYTES = 12
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


def seal(position: str, *, of: str) -> str:
    """A token for a position in the list that `of` describes: whose, of what, by which filters.

    It is summed, not signed: who forges one gets another place in a list that is his own.
    """
    digest = hashlib.sha256(f"{position}\n{of}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:SUM_BYTES] + position.encode()).decode().rstrip("=")


def unseal(token: str, *, of: str, shape: re.Pattern[str]) -> re.Match[str]:
    """The position, which has the shape. Raises InvalidRequest for any text but such a token."""
    position = _position(token)
    match = shape.fullmatch(position)
    if match is None or seal(position, of=of) != token:
        detail = "This is no page_token of this list with these filters; begin without one."
        raise InvalidRequest([FieldError(pointer="/page_token", detail=detail)])
    return match


def _position(token: str) -> str:
    if not TOKEN.fullmatch(token) or len(token) % 4 == 1:  # no base64 is that long
        return ""
    padded = token + "=" * (-len(token) % 4)
    return base64.urlsafe_b64decode(padded)[SUM_BYTES:].decode("ascii", "replace")
