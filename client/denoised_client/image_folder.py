"""Where images are saved: 000000.png, 000001.png ..., by absolute index, so that a set that is
extended later goes on in the same folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from PIL import Image, UnidentifiedImageError

from denoised_client.pictures import picture, pixels_sha256
from denoised_client.resources import ImageEntry


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder of one job's images, each of whose pixels is `scale` pixels wide."""

    path: Path
    scale: int
    overwrite: bool = False

    def make(self) -> None:
        """The folder, and those above it."""
        self.path.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Make it. Raises OSError where nothing can be written into it."""
        self.make()
        with TemporaryFile(dir=self.path):
            pass

    def path_of(self, entry: ImageEntry) -> Path:
        """The image's file."""
        return self.path / f"{entry.index:06}.png"

    def missing(self, entries: Sequence[ImageEntry]) -> set[int]:
        """The indices of those that are not there yet. Raises FileExistsError where something else
        is in their place, unless it may be overwritten."""
        return {entry.index for entry in entries if not self._has(entry)}

    def write(self, entry: ImageEntry, png: bytes) -> None:
        """The whole file or nothing, also if we are killed. Raises DamagedImage."""
        picture(png, entry, scale=self.scale)
        path = self.path_of(entry)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(png)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _has(self, entry: ImageEntry) -> bool:
        path = self.path_of(entry)
        if not path.exists():
            return False
        if self._pixels_of(path) == entry.pixels_sha256:
            return True
        if self.overwrite:
            return False
        raise FileExistsError(f"{path} is another image; save elsewhere, or overwrite it")

    def _pixels_of(self, path: Path) -> str | None:
        try:
            with Image.open(path) as image:
                return pixels_sha256(image, scale=self.scale)
        except (UnidentifiedImageError, OSError, SyntaxError):
            return None
