"""A job's images as files. What is there already, with the right pixels, is not fetched again."""

from functools import partial
from pathlib import Path

from denoised_client import calls
from denoised_client.archive import Archive
from denoised_client.effects import Flow, ItemFlow, worked
from denoised_client.errors import raise_unless_succeeded
from denoised_client.finished import Finished
from denoised_client.following import Follower
from denoised_client.image_folder import ImageFolder
from denoised_client.resources import ImageEntry, JobSnapshot
from denoised_client.service import Service

BY_ARCHIVE = 32  # as many images at once, or more, come in one answer


def saved(service: Service, job: JobSnapshot, folder: ImageFolder) -> ItemFlow[JobSnapshot | Path]:
    """The files, by index, as the images finish; between them the job, as it goes on.

    Raises FileExistsError for a file with other pixels; at the end, with all that was finished
    saved, JobFailed, JobCanceled or JobExpired.
    """
    follower = Follower(service, job)
    finished, archive = Finished(service, follower), Archive(service, job)
    yield from worked(folder.make)
    while batch := (yield from finished.next()):
        yield follower.job
        missing = yield from worked(partial(folder.missing, batch))
        many = follower.job.done and len(missing) >= BY_ARCHIVE and archive.is_offered
        for entry in batch:
            if entry.index in missing:
                png = yield from (archive.png(entry.index) if many else _one(service, entry))
                yield from worked(partial(folder.write, entry, png))
            yield folder.path_of(entry)
    yield follower.job
    raise_unless_succeeded(follower.job)


def _one(service: Service, entry: ImageEntry) -> Flow[bytes]:
    return (yield from service.fetch(calls.get(entry.url)))
