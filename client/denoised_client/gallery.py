"""A job's images as pictures, as they finish."""

from PIL import Image

from denoised_client import calls
from denoised_client.effects import Flow, ItemFlow
from denoised_client.errors import raise_unless_succeeded
from denoised_client.finished import Finished
from denoised_client.following import Follower
from denoised_client.pictures import opened_picture, picture
from denoised_client.resources import JobSnapshot
from denoised_client.service import Service


def pictures(service: Service, job: JobSnapshot) -> ItemFlow[JobSnapshot | Image.Image]:
    """By index, each as soon as it and those before it are finished; between them the job.

    Raises DamagedImage; at the end JobFailed, JobCanceled or JobExpired.
    """
    follower = Follower(service, job)
    finished = Finished(service, follower)
    while batch := (yield from finished.next()):
        yield follower.job
        for entry in batch:
            png = yield from service.fetch(calls.get(entry.url))
            yield picture(png, entry, scale=job.scale)
    yield follower.job
    raise_unless_succeeded(follower.job)


def one_picture(service: Service, job: JobSnapshot, index: int) -> Flow[Image.Image]:
    """Image `index` of the job. Raises NotFound where it is not finished."""
    return opened_picture((yield from service.fetch(calls.image(job.id, index))))


def sheet(service: Service, job: JobSnapshot, columns: int | None) -> Flow[Image.Image]:
    """What is finished, on one picture."""
    params = {} if columns is None else {"columns": columns}
    answer = yield from service.ask(calls.get(job.urls.grid, **params))
    return opened_picture(answer.body)


def preview(service: Service, job: JobSnapshot) -> Flow[Image.Image]:
    """What is not finished yet, as it looks by now. Raises NotFound where there is nothing."""
    return opened_picture((yield from service.ask(calls.get(job.urls.preview))).body)
