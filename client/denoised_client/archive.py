"""A job's images out of its archive, in one stream that goes on where it was cut."""

import re
from dataclasses import dataclass, field

from denoised_client import calls
from denoised_client.effects import Flow, Opened, Read
from denoised_client.errors import ApiError, Unreachable
from denoised_client.resources import JobSnapshot
from denoised_client.service import Patience, Service, opened_file
from denoised_client.zip_reader import ZipReader

NUMBER = re.compile(r"(\d+)\.png$")


@dataclass(slots=True)
class Archive:
    """Asked for images in rising order, it holds no more than has just arrived."""

    service: Service
    job: JobSnapshot
    _stream: Opened | None = None
    _reader: ZipReader = field(default_factory=ZipReader)
    _arrived: dict[int, bytes] = field(default_factory=dict)

    @property
    def is_offered(self) -> bool:
        """Whether the service has archives."""
        return self.job.urls.archive is not None

    def png(self, index: int) -> Flow[bytes]:
        """The file of an image."""
        patience = Patience(self.service.policy)
        while True:
            try:
                found = yield from self._reach(index)
                break
            except (ApiError, Unreachable) as error:
                self._stream = None
                yield from patience.after(error)
        if found is None:
            return (yield from self.service.fetch(calls.image(self.job.id, index)))
        return found

    def _reach(self, index: int) -> Flow[bytes | None]:
        """Read on until the image is there; None where the archive ends without it."""
        self._arrived = {at: png for at, png in self._arrived.items() if at >= index}
        while index not in self._arrived:
            stream = self._stream or (yield from self._opened(index))
            data: bytes | None = yield Read(stream)
            if data is None:
                self._stream = None
                return None
            for name, png in self._reader.feed(data):
                if (number := NUMBER.search(name)) and int(number[1]) >= index:
                    self._arrived[int(number[1])] = png
        return self._arrived.pop(index)

    def _opened(self, index: int) -> Flow[Opened]:
        call = calls.get(self.job.urls.archive, from_index=index)
        self._stream, self._reader = (yield from opened_file(call)), ZipReader()
        return self._stream
