"""Reading a ZIP file while it arrives. Pure.

The service's archives hold files stored as they are, their sizes told in front, so that each can be
used at once, and a file that was cut short is found out without the directory at the end.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from denoised_client.errors import UnexpectedAnswer

HEADER = struct.Struct("<4s5H3I2H")  # a local file header, APPNOTE.TXT 4.3.7
FILE, STORED, SIZES_FOLLOW = b"PK\x03\x04", 0, 0x08


@dataclass(slots=True)
class ZipReader:
    """Is fed bytes, gives whole files."""

    _pending: bytearray = field(default_factory=bytearray)
    _in_directory: bool = False  # all files have been

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The files that are complete by now: name, content. Raises UnexpectedAnswer."""
        if not self._in_directory:
            self._pending += data
        while (found := self._next_file()) is not None:
            yield found

    def _next_file(self) -> tuple[str, bytes] | None:
        if len(self._pending) < HEADER.size or self._in_directory:
            return None
        signature, _, flags, method, _, _, crc, size, _, name_size, extra_size = HEADER.unpack_from(
            self._pending
        )
        if signature != FILE:
            self._in_directory = True
            self._pending.clear()
            return None
        if method != STORED or flags & SIZES_FOLLOW:
            raise UnexpectedAnswer("the archive is not of stored files whose sizes come first")
        begin = HEADER.size + name_size + extra_size
        if len(self._pending) < begin + size:
            return None
        name = bytes(self._pending[HEADER.size : HEADER.size + name_size]).decode()
        content = bytes(self._pending[begin : begin + size])
        del self._pending[: begin + size]
        if zlib.crc32(content) != crc:
            raise UnexpectedAnswer(f"{name} was damaged on its way")
        return name, content
