"""What is read of a PNG file that a client sends, and what is refused, in which words."""

import gzip
import random
import resource
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.png_input import NotThisImage, pixels_of
from tests.app import pngs

GREY, RGB = pngs.file(pngs.image("L")), pngs.file(pngs.image("RGB"))
PALETTE = pngs.file(pngs.image("L").convert("P"))
ANIMATED = pngs.file(pngs.image("L"), save_all=True, append_images=[Image.new("L", (8, 8))])


def sixteen_bits() -> bytes:
    """8 x 8 RGB, which Pillow reads and does not write."""
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    rows = zlib.compress(8 * (b"\0" + bytes(8 * 3 * 2)))
    return GREY[:8] + pngs.chunk(b"IHDR", header) + pngs.chunk(b"IDAT", rows) + GREY[-12:]


REFUSED = {
    "jpeg": (pngs.file(pngs.image("L"), "jpeg"), "a JPEG"),
    "gif": (pngs.file(pngs.image("L"), "gif"), "a GIF"),
    "webp": (pngs.file(pngs.image("RGB"), "webp"), "a WebP"),
    "bmp": (pngs.file(pngs.image("L"), "bmp"), "a BMP"),
    "tiff": (pngs.file(pngs.image("L"), "tiff"), "a TIFF"),
    "cmyk": (pngs.file(Image.new("CMYK", (8, 8)), "jpeg"), "a JPEG"),
    "animated gif": (
        pngs.file(pngs.image("L"), "gif", save_all=True, append_images=[Image.new("L", (8, 8))]),
        "a GIF",
    ),
    "icon": (pngs.file(pngs.image("RGBA"), "ico", sizes=[(8, 8)]), "no PNG"),
    "avif": (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF or HEIC"),
    "pdf": (b"%PDF-1.7\n", "a PDF"),
    "packed svg": (gzip.compress(b"<svg/>"), "packed"),
    "svg behind a blank": (b"\xef\xbb\xbf \n<svg/>", "an SVG"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
    "nothing": (b"", "no PNG"),
    "text": (b"a PNG, honestly", "no PNG"),
    "signature alone": (GREY[:8], "truncated"),
    "half a header": (GREY[:20], "truncated"),
    "without its end": (GREY[:-12], "truncated"),
    "half": (GREY[: len(GREY) // 2], "truncated"),
    "spoiled": (GREY[:45] + bytes([GREY[45] ^ 1]) + GREY[46:], "checksum"),
    "no header": (GREY[:8] + GREY[33:], "no header"),
    "two headers": (GREY[:33] + GREY[8:], "several"),
    "no pixels": (GREY[:33] + GREY[-12:], "cannot be read"),
    "larger": (pngs.file(pngs.image("L", (16, 16))), "8 x 8 pixels; it is 16 x 16"),
    "oblong": (pngs.file(pngs.image("L", (8, 9))), "it is 8 x 9"),
    "bomb": (pngs.bomb(100_000), "it is 100000 x 100000"),
    "largest bomb": (pngs.bomb(2**32 - 1), "4294967295"),
    "few pixels": (pngs.bomb(8)[:33] + pngs.chunk(b"IDAT", b"x") + GREY[-12:], "cannot be read"),
    "rgb": (RGB, "8-bit grey"),
    "alpha": (pngs.file(pngs.image("LA")), "8-bit grey"),
    "bilevel": (pngs.file(pngs.image("L").convert("1")), "8-bit grey"),
    "sixteen bits of colour": (sixteen_bits(), "8-bit grey"),
    "sixteen bits": (pngs.file(pngs.image("L").convert("I;16")), "8-bit grey"),
    "palette": (PALETTE, "8-bit grey"),
    "transparent": (pngs.file(pngs.image("L"), transparency=3), "transparency"),
    "animated": (ANIMATED, "an animation"),
}


@pytest.mark.parametrize(("png", "words"), REFUSED.values(), ids=REFUSED)
def test_what_will_not_do_is_called_by_its_name(png: bytes, words: str) -> None:
    with pytest.raises(NotThisImage, match=words):
        pixels_of(png, size=8, channels=1)


def test_a_grey_image_is_not_taken_for_rgb() -> None:
    with pytest.raises(NotThisImage, match="8-bit RGB"):
        pixels_of(GREY, size=8, channels=3)


def test_pixels_are_read_as_they_are() -> None:
    assert pixels_of(GREY, size=8, channels=1) == pngs.image("L").tobytes()
    assert pixels_of(RGB, size=8, channels=3) == pngs.image("RGB").tobytes()


def test_what_a_service_enlarged_is_read_at_its_own_size() -> None:
    large = pngs.image("RGB").resize((32, 32), Image.Resampling.NEAREST)
    pixels = pixels_of(pngs.file(large), size=8, channels=3, scale=4)
    assert pixels == pngs.image("RGB").tobytes()


@pytest.mark.parametrize("name", [b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"prVt"])
def test_other_chunks_never_reach_the_decoder(name: bytes) -> None:
    png = pngs.with_chunk(GREY, name, b"\0\xff not what belongs here")
    assert pixels_of(png, size=8, channels=1) == pngs.image("L").tobytes()


def test_pixels_that_never_end_are_not_unpacked() -> None:
    endless = zlib.compress(bytes(2**28))
    png = GREY[:33] + pngs.chunk(b"IDAT", endless) + GREY[-12:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert pixels_of(png, size=8, channels=1) == bytes(64)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_of_a_spoiled_file_nothing_is_raised_but_our_error() -> None:
    info = PngInfo()
    info.add_text("denoised", "x" * 99, zip=True)
    files = [GREY, RGB, ANIMATED, PALETTE, pngs.file(pngs.image("L"), pnginfo=info)]
    dice, read = random.Random(0), 0
    for _ in range(5000):
        spoiled = bytearray(dice.choice(files))
        for _ in range(dice.randrange(1, 4)):
            spoiled[dice.randrange(len(spoiled))] = dice.randrange(256)
        try:
            pixels_of(_checked_again(bytes(spoiled)), size=8, channels=1)
            read += 1
        except NotThisImage:
            continue
    assert read, "some of it does no harm"


def _checked_again(png: bytes) -> bytes:
    """With checksums that are right: a hostile client can compute them too."""
    mended, at = png[:8], 8
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4])
        mended += pngs.chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length])
        at += 12 + length
    return mended
