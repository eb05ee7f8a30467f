"""Part of a file: one range (RFC 9110, 14). Who asks for several at once gets the whole."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request

from app import etags
from app.errors import RangeNotSatisfiable
from app.etags import IfNoneMatch

ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """What of a file is to be sent."""

    status: int  # 200, 206 or 304
    headers: dict[str, str]
    span: range  # of its bytes


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a client says of the file that it may have already, in whole or in part."""

    if_none_match: str
    range: str
    if_range: str

    def part(self, *, etag: str, size_bytes: int) -> Part:
        """Of a file with this strong ETag. Raises RangeNotSatisfiable."""
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        whole = range(size_bytes)
        if etags.matches(self.if_none_match, etag):
            return Part(304, headers, range(0))
        span = _span(self.range, size_bytes) if self.if_range in ("", etag) else None
        if span is None:
            return Part(200, headers, whole)
        if not span:
            raise RangeNotSatisfiable(
                f"The file has {size_bytes} bytes.",
                headers={"Content-Range": f"bytes */{size_bytes}"},
            )
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size_bytes}"
        return Part(206, headers, span)


async def conditions(
    request: Request,
    if_none_match: IfNoneMatch = "",
    byte_range: Annotated[
        str, Header(alias="Range", description="One range of bytes.", examples=["bytes=1024-"])
    ] = "",
    if_range: Annotated[
        str, Header(description="An ETag: `Range` counts only while it is current.")
    ] = "",
) -> Conditions:
    """A dependency. Ranges are GET's alone."""
    return Conditions(if_none_match, byte_range if request.method == "GET" else "", if_range)


def cut(chunks: Iterable[bytes], span: range) -> Iterator[bytes]:
    """Of the bytes of all chunks together, those in the span; no chunk after them is asked for."""
    at = 0
    for chunk in chunks:
        piece = chunk[max(0, span.start - at) : max(0, span.stop - at)]
        if piece:
            yield piece
        at += len(chunk)
        if at >= span.stop:
            return


def _span(field: str, size_bytes: int) -> range | None:
    """The bytes asked for, none of them if there are none; None where no one range is named."""
    match = ONE_RANGE.fullmatch(field)
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size_bytes - int(last)), size_bytes) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
