"""ZIP files as a stream: stored, in fixed order, with fixed times, as long as was said before.

Python's `zipfile` and the streaming libraries keep 340 to 480 bytes of each member until the end,
and none promises the same bytes from its next version; here a member costs its line in the
directory, 60 bytes (docs/decisions/0015). What is written is APPNOTE 6.3.10: 4.3.7 (local header),
4.3.12 (directory), 4.3.14 to 4.3.16 (its ends, ZIP64's where there is need).
"""

import struct
from collections.abc import Iterator

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
ZIP64_OFFSET = struct.Struct("<2HQ")  # extra field of a member that begins beyond 4 GiB
ZIP64_END = struct.Struct("<4sQ2H2I4Q")
ZIP64_LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")

MAX16, MAX32 = 2**16 - 1, 2**32 - 1
VERSION, ZIP64_VERSION = 20, 45
UNIX = 3 << 8
REGULAR_FILE = 0o100644 << 16
MIDNIGHT, FIRST_OF_1980 = 0, 0x21  # the first moment there is in DOS's calendar
STORED, NO_FLAGS = 0, 0
CHUNK_BYTES = 2**18


class Layout:
    """Where everything is, by the members' names and sizes alone."""

    def __init__(self) -> None:
        self.members = 0
        self.end_of_members = 0
        self.directory_bytes = 0

    def add(self, name: str, size_bytes: int) -> int:
        """One more member, under 4 GiB; where it begins."""
        offset = self.end_of_members
        self.members += 1
        self.end_of_members += LOCAL.size + len(name) + size_bytes
        extra = ZIP64_OFFSET.size if offset >= MAX32 else 0
        self.directory_bytes += CENTRAL.size + len(name) + extra
        return offset

    @property
    def is_zip64(self) -> bool:
        """Whether its end does not fit into ZIP's old fields."""
        return (
            self.members >= MAX16 or self.end_of_members >= MAX32 or self.directory_bytes >= MAX32
        )

    @property
    def size_bytes(self) -> int:
        """Of the whole file."""
        ends = END.size + (ZIP64_END.size + ZIP64_LOCATOR.size if self.is_zip64 else 0)
        return self.end_of_members + self.directory_bytes + ends


class ZipStream:
    """Makes what stands before each member's bytes, and the end."""

    def __init__(self) -> None:
        self.layout = Layout()
        self._directory = bytearray()

    def header(self, name: str, *, size_bytes: int, crc32: int) -> bytes:
        """What stands before the member's bytes. Names are ASCII."""
        offset = self.layout.add(name, size_bytes)
        far = offset >= MAX32
        version = ZIP64_VERSION if far else VERSION
        file_name = name.encode("ascii")
        common = (NO_FLAGS, STORED, MIDNIGHT, FIRST_OF_1980, crc32, size_bytes, size_bytes)
        self._directory += CENTRAL.pack(
            b"PK\1\2",
            UNIX | version,
            version,
            *common,
            len(file_name),
            ZIP64_OFFSET.size if far else 0,
            *(0, 0, 0),  # comment, disk, internal attributes
            REGULAR_FILE,
            MAX32 if far else offset,
        )
        self._directory += file_name
        if far:
            self._directory += ZIP64_OFFSET.pack(1, 8, offset)
        return LOCAL.pack(b"PK\3\4", VERSION, *common, len(file_name), 0) + file_name

    def end(self) -> Iterator[bytes]:
        """The directory and its end."""
        for at in range(0, len(self._directory), CHUNK_BYTES):
            yield bytes(self._directory[at : at + CHUNK_BYTES])
        yield self._ends()

    def _ends(self) -> bytes:
        layout = self.layout
        count, size, start = layout.members, layout.directory_bytes, layout.end_of_members
        zip64 = b""
        if layout.is_zip64:
            rest = ZIP64_END.size - 12
            versions = (UNIX | ZIP64_VERSION, ZIP64_VERSION)
            zip64 = ZIP64_END.pack(b"PK\6\6", rest, *versions, 0, 0, count, count, size, start)
            zip64 += ZIP64_LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
        few = min(count, MAX16)
        return zip64 + END.pack(b"PK\5\6", 0, 0, few, few, min(size, MAX32), min(start, MAX32), 0)
