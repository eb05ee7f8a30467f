"""The client for callers that block. `async_client.py` has the same words for those that await."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Unpack

from denoised_client import calls
from denoised_client.calls import Texts
from denoised_client.connection import TIMEOUT_S, Connection
from denoised_client.driver import Driver
from denoised_client.following import verified
from denoised_client.job import Job
from denoised_client.resources import DryRun, JobSnapshot, Model, ModelList, Stats, Verification
from denoised_client.retries import PATIENT, RetryPolicy
from denoised_client.service import Service
from denoised_client.source_images import ImageFile, as_png
from denoised_client.submission import Interpolation, Options, Task, Variations, body_of


class Client(AbstractContextManager["Client"]):
    """A service, and the jobs it does for us.

    `url` and `api_key` come from DENOISED_URL and DENOISED_API_KEY where they are not given; the
    service of this machine, without a key, is the default. `timeout_s` is how long an answer may
    take to begin, or to go on. Safe to share between threads.

    Raises ValueError for a URL or a key that is none. Every method may raise ApiError, Unreachable,
    UnexpectedAnswer and Unsendable; see `errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = PATIENT,
    ) -> None:
        self._driver = Driver(Connection.of(url, api_key, timeout_s))
        self._service = Service(retries)

    def sample(self, **options: Unpack[Options]) -> Job:
        """n images of a seed."""
        return self._submit("sample", options)

    def variations(self, **options: Unpack[Variations]) -> Job:
        """n images that share the noised `image`."""
        return self._submit("variations", options)

    def interpolate(self, **options: Unpack[Interpolation]) -> Job:
        """Images on the way from `image_a` to `image_b`."""
        return self._submit("interpolate", options)

    def submit(self, task: Task, **options: Any) -> Job:
        """The job of any task, with what the task's own method takes."""
        return self._submit(task, options)

    def dry_run(self, task: Task = "sample", **options: Any) -> DryRun:
        """What a job would become and cost. Takes what the task's own method takes."""
        call = calls.dry_run(body_of(task, options))
        return self._driver.run(self._service.read(call, DryRun))

    def job(self, job_id: str) -> Job:
        """A job by its id. Raises NotFound, and Expired for one that was here once."""
        return self._job(self._driver.run(self._service.read(calls.job(job_id), JobSnapshot)))

    def delete(self, job_id: str) -> None:
        """A job by its id, as its own `delete` does. Raises NotFound."""
        self._driver.run(self._service.delete(calls.delete(job_id)))

    def jobs(
        self,
        *,
        status: Texts = None,
        model: Texts = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[Job]:
        """Our jobs, newest first; of several values of a filter, any. Pages come as needed."""
        flow = self._service.jobs(status=status, model=model, metadata=metadata or {})
        return map(self._job, self._driver.iterate(flow))

    def models(self) -> list[Model]:
        """What can be asked for."""
        return list(self._driver.run(self._service.read(calls.MODELS, ModelList)).data)

    def model(self, name: str) -> Model:
        """One model. Raises NotFound."""
        return self._driver.run(self._service.read(calls.model(name), Model))

    def stats(self) -> Stats:
        """What the service is doing now."""
        return self._driver.run(self._service.read(calls.STATS, Stats))

    def verify(self, image: ImageFile, *, timeout_s: float | None = None) -> Verification:
        """Whether sampling an image again gives its pixels; waits for it.

        Takes what was downloaded, as a file or as a picture of `images()`. Raises what a job's
        `wait` does.
        """
        return self._driver.run(verified(self._service, as_png(image), timeout_s=timeout_s))

    def close(self) -> None:
        """Hang up. Jobs go on."""
        self._driver.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _submit(self, task: Task, options: Mapping[str, Any]) -> Job:
        call = calls.submit(body_of(task, options))
        return self._job(self._driver.run(self._service.read(call, JobSnapshot)))

    def _job(self, snapshot: JobSnapshot) -> Job:
        return Job(self._driver, self._service, snapshot)
