"""PNG files that clients send: looked at before they are decoded, and refused by name."""

import base64
import binascii
import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IHDR = struct.Struct(">IIBB")  # width, height, bit depth, colour type; three bytes follow
COLOUR_TYPE = {1: 0, 3: 2}
COLOURS = {1: "8-bit grey", 3: "8-bit RGB"}
OTHERS = {  # by how they begin
    rb"\xff\xd8": "a JPEG",
    rb"GIF8": "a GIF",
    rb"RIFF": "a WebP",
    rb"BM": "a BMP",
    rb"II\*\0|MM\0\*": "a TIFF",
    rb"%PDF": "a PDF",
    rb"\x1f\x8b": "packed with gzip",
    rb"....ftyp": "an AVIF or HEIC, or a video",
    rb"(\xef\xbb\xbf)?\s*<": "an SVG, or other XML",
}
Chunk = tuple[bytes, bytes]  # name, and the chunk whole: length, name, data, CRC


class NotThisImage(Exception):
    """Why a file is not an image of the expected kind, as a sentence."""


def from_base64(text: str) -> bytes:
    """The file, as it travels in JSON. Raises NotThisImage."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # lines are usual
    except (binascii.Error, ValueError) as error:
        raise NotThisImage("This is not base64; send a PNG file in base64.") from error


def pixels_of(png: bytes, *, size: int, channels: int, scale: int = 1) -> bytes:
    """The uint8 pixels, H W C, of a size x size image whose pixels are each scale x scale.

    Nothing is converted: what is of another size or kind is refused by its header. The decoder is
    given what makes pixels and no other chunk. Raises NotThisImage.
    """
    chunks = list(_chunks(png))
    _check(chunks, side=size * scale, channels=channels)
    needed = b"".join(whole for name, whole in chunks if name in (b"IHDR", b"IDAT", b"IEND"))
    try:
        with Image.open(io.BytesIO(SIGNATURE + needed), formats=["PNG"]) as image:
            unscaled = image.resize((size, size), Image.Resampling.NEAREST)
            scaled = unscaled.resize(image.size, Image.Resampling.NEAREST)
            if scaled.tobytes() != image.tobytes():
                raise NotThisImage(f"Its pixels are not each {scale} x {scale} pixels.")
            return unscaled.tobytes()
    except (OSError, SyntaxError, ValueError) as error:
        raise NotThisImage("The PNG is damaged: its pixels cannot be read.") from error


def text_of(png: bytes, keyword: str) -> str | None:
    """The file's tEXt chunk of this keyword, None where it has none. Raises NotThisImage."""
    found = [
        whole[8 + len(keyword) + 1 : -4].decode("latin-1")
        for name, whole in _chunks(png)
        if name == b"tEXt" and whole[8:].startswith(keyword.encode() + b"\0")
    ]
    if len(found) > 1:
        raise NotThisImage(f"It has {len(found)} text chunks `{keyword}`.")
    return found[0] if found else None


def _chunks(png: bytes) -> Iterator[Chunk]:
    """All of them, each as its CRC says it was, up to IEND."""
    for beginning, kind in OTHERS.items():
        if re.match(beginning, png, re.DOTALL):
            raise NotThisImage(f"This is {kind}; send a PNG.")
    if not png.startswith(SIGNATURE):
        raise NotThisImage("This is no PNG.")
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        end = at + 12 + int.from_bytes(png[at : at + 4])
        if at + 12 > len(png) or end > len(png):
            raise NotThisImage("The PNG is truncated.")
        name = png[at + 4 : at + 8]
        if zlib.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end]):
            raise NotThisImage("The PNG is damaged: a checksum is wrong.")
        yield name, png[at:end]
        at = end


def _check(chunks: list[Chunk], *, side: int, channels: int) -> None:
    (first, header), *_ = chunks
    names = [name for name, _ in chunks]
    if first != b"IHDR" or len(header) != 25 or names.count(b"IHDR") > 1:
        raise NotThisImage("The PNG is damaged: it has no header, or several.")
    width, height, depth, colour = IHDR.unpack_from(header, 8)
    if (width, height) != (side, side):
        raise NotThisImage(f"It must be {side} x {side} pixels; it is {width} x {height}.")
    if (depth, colour) != (8, COLOUR_TYPE[channels]) or b"tRNS" in names:
        raise NotThisImage(f"It must be {COLOURS[channels]}, without palette or transparency.")
    if b"acTL" in names:
        raise NotThisImage("This is an animation; send one image.")
