"""A contact sheet: equal tiles, row by row."""

import io
import math
from collections.abc import Sequence

from PIL import Image

from protocol.messages import ImageManifest

MAX_TILES = 1000
MAX_SHEET_PIXELS = 2**24


def fitting(tile: ImageManifest) -> int:
    """How many tiles like this one a sheet may have: at least one, whatever its size."""
    return max(1, min(MAX_TILES, MAX_SHEET_PIXELS // (tile.width * tile.height)))


def contact_sheet(pngs: Sequence[bytes], *, columns: int | None) -> bytes:
    """One PNG of them all; as square as can be where `columns` is None."""
    tiles = [Image.open(io.BytesIO(png)) for png in pngs]
    across = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    down = math.ceil(len(tiles) / across)
    width, height = tiles[0].size
    sheet = Image.new(tiles[0].mode, (across * width, down * height))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, across)
        sheet.paste(tile, (column * width, row * height))
    file = io.BytesIO()
    sheet.save(file, "png")
    return file.getvalue()
