"""PNG files to send."""

import base64
import io
import struct
import zlib
from typing import Any

from PIL import Image


def image(mode: str = "L", size: tuple[int, int] = (8, 8)) -> Image.Image:
    """No two pixels alike, as far as a byte goes."""
    count = size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, bytes(i * 3 % 256 for i in range(count)))


def file(picture: Image.Image, kind: str = "png", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def text(png: bytes) -> str:
    """As it travels in JSON."""
    return base64.b64encode(png).decode()


def chunk(name: bytes, data: bytes) -> bytes:
    """A well-formed one."""
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """The file with one more chunk behind its header."""
    return png[:33] + chunk(name, data) + png[33:]


def bomb(side: int) -> bytes:
    """A header that promises side x side pixels, and little behind it."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
