"""A job's finished images as one ZIP file, made while it is sent."""

import hashlib
import json
import zlib
from array import array
from collections.abc import Iterator

from app import etags
from app.zip_stream import Layout, ZipStream
from protocol.image_store import ImageStore
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.messages import ImageManifest

FORMAT = b"1"  # one more whenever the same images make other bytes
LIST = "manifest.jsonl"
WINDOW = 1000  # manifests in a round trip
BATCH_BYTES, BATCH_IMAGES = 2**20, 100  # of files in a round trip, and in memory


class ArchiveBroken(Exception):
    """Part of it was deleted, or expired, while it was sent."""


class Archive:
    """What was finished when it was asked for: the list first, then the images by index.

    It is looked through at once, for its length and its ETag, and remembers 8 bytes of each image.
    """

    def __init__(
        self, store: JobStore, images: ImageStore, record: JobRecord, *, from_index: int
    ) -> None:
        self._store, self._images, self._record = store, images, record
        self._indices, self._sizes = array("I"), array("I")
        self._list_bytes = self._list_crc32 = 0
        digest = hashlib.sha256(FORMAT)
        for manifest in self._finished(from_index):
            line = _line(manifest)
            digest.update(line)
            self._list_bytes += len(line)
            self._list_crc32 = zlib.crc32(line, self._list_crc32)
            self._indices.append(manifest.index)
            self._sizes.append(manifest.bytes)
        self.etag = etags.strong(digest.hexdigest()[:32])

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def size_bytes(self) -> int:
        """Of the file, exactly."""
        layout = Layout()
        layout.add(LIST, self._list_bytes)
        for index, size_bytes in zip(self._indices, self._sizes, strict=True):
            layout.add(_name(index), size_bytes)
        return layout.size_bytes

    def chunks(self) -> Iterator[bytes]:
        """The file, some 100 images at a time. Raises ArchiveBroken."""
        stream = ZipStream()
        yield stream.header(LIST, size_bytes=self._list_bytes, crc32=self._list_crc32)
        yield from self._list()
        for batch in self._batches():
            yield b"".join(self._members(batch, stream))
        yield from stream.end()

    def _finished(self, from_index: int) -> Iterator[ImageManifest]:
        request = self._record.request
        end = request.first_index + request.n
        for start in range(max(from_index, request.first_index), end, WINDOW):
            window = range(start, min(start + WINDOW, end))
            found = self._store.manifests(self._record.id, window)
            yield from (found[index] for index in sorted(found))
            if self._record.status.done and len(self) == self._record.images_done:
                return

    def _list(self) -> Iterator[bytes]:
        for start in range(0, len(self), WINDOW):
            indices = self._indices[start : start + WINDOW]
            found = self._store.manifests(self._record.id, indices)
            if len(found) < len(indices):
                raise ArchiveBroken(f"{self._record.id}: its images are gone")
            yield b"".join(_line(found[index]) for index in indices)

    def _batches(self) -> Iterator[range]:
        """Places of consecutive images that are not too many, nor too large together."""
        start = total_bytes = 0
        for place, size_bytes in enumerate(self._sizes):
            full = place - start == BATCH_IMAGES or total_bytes + size_bytes > BATCH_BYTES
            if full and place > start:
                yield range(start, place)
                start, total_bytes = place, 0
            total_bytes += size_bytes
        yield range(start, len(self))

    def _members(self, batch: range, stream: ZipStream) -> Iterator[bytes]:
        indices = self._indices[batch.start : batch.stop]
        sizes = self._sizes[batch.start : batch.stop]
        first = self._record.request.first_index
        pngs = self._images.get_many(self._record.id, [index - first for index in indices])
        for index, size_bytes, png in zip(indices, sizes, pngs, strict=True):
            if png is None or len(png) != size_bytes:
                raise ArchiveBroken(f"{self._record.id}: image {index} is gone")
            yield stream.header(_name(index), size_bytes=size_bytes, crc32=zlib.crc32(png))
            yield png


def _name(index: int) -> str:
    return f"{index:06d}.png"


def _line(manifest: ImageManifest) -> bytes:
    described = {"file": _name(manifest.index), **manifest.model_dump()}
    return json.dumps(described, separators=(",", ":")).encode() + b"\n"
