"""Entity tags: a client that has it already need not be sent it again (RFC 9110, 8.8.3)."""

import hashlib
from typing import Annotated

from fastapi import Header

IfNoneMatch = Annotated[str, Header(description="Answers 304 if one of these ETags is current.")]
NOT_MODIFIED = {"description": "The client has it already."}
HEADER = {"ETag": {"schema": {"type": "string"}}}


def strong(digest: str) -> str:
    """Of something named by a digest: same tag, same bytes in what matters."""
    return f'"{digest}"'


def weak(text: str) -> str:
    """Of a text that is made anew each time."""
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag.removeprefix("W/") in tags or tags == ["*"]
