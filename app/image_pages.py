"""All finished images of a job, by index, a page at a time, while it may still be running."""

import re

from app import page_tokens
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.messages import ImageManifest

POSITION = re.compile(r"(\d{1,10})\.(\d{1,6})")  # the next index, and how many images came before
WINDOW, LOOKED_AT = 1000, 10_000  # manifests in a round trip, and for one page


def page_of(
    store: JobStore, record: JobRecord, *, size: int, token: str | None
) -> tuple[list[ImageManifest], str | None]:
    """Up to `size` images, and the next page's token, None after the last.

    O(size) where no image is missing. Where most are, a page looks at LOOKED_AT places at most, so
    it may be short, or empty, and still have a successor. Raises InvalidRequest for a bad token.
    """
    of = f"images {record.id}"
    at, before = _begin(record, token, of=of)
    end = record.request.first_index + record.request.n
    limit, width = min(end, at + LOOKED_AT), size
    found: list[ImageManifest] = []
    while at < limit and len(found) < size and not _are_all(record, before + len(found)):
        window = range(at, min(at + width, limit))
        manifests = store.manifests(record.id, window)
        taken = sorted(manifests)[: size - len(found)]
        found += [manifests[index] for index in taken]
        at = taken[-1] + 1 if len(found) == size else window.stop
        width = WINDOW
    before += len(found)
    if at >= end or _are_all(record, before):
        return found, None
    return found, page_tokens.seal(f"{at}.{before}", of=of)


def _begin(record: JobRecord, token: str | None, *, of: str) -> tuple[int, int]:
    if token is None:
        return record.request.first_index, 0
    match = page_tokens.unseal(token, of=of, shape=POSITION)
    return int(match[1]), int(match[2])


def _are_all(record: JobRecord, images: int) -> bool:
    """Whether these are all that there will be."""
    return record.status.done and images >= record.images_done
