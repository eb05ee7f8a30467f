"""The client for callers that await, on asyncio or trio: `client.py`, word for word."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Unpack

from denoised_client import calls
from denoised_client.async_driver import AsyncDriver
from denoised_client.async_job import AsyncJob
from denoised_client.calls import Texts
from denoised_client.connection import TIMEOUT_S, Connection
from denoised_client.following import verified
from denoised_client.resources import DryRun, JobSnapshot, Model, ModelList, Stats, Verification
from denoised_client.retries import PATIENT, RetryPolicy
from denoised_client.service import Service
from denoised_client.source_images import ImageFile, as_png
from denoised_client.submission import Interpolation, Options, Task, Variations, body_of


class AsyncClient(AbstractAsyncContextManager["AsyncClient"]):
    """A service, and the jobs it does for us.

    `url` and `api_key` come from DENOISED_URL and DENOISED_API_KEY where they are not given; the
    service of this machine, without a key, is the default. `timeout_s` is how long an answer may
    take to begin, or to go on. For one event loop.

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
        self._driver = AsyncDriver(Connection.of(url, api_key, timeout_s))
        self._service = Service(retries)

    async def sample(self, **options: Unpack[Options]) -> AsyncJob:
        """n images of a seed."""
        return await self._submit("sample", options)

    async def variations(self, **options: Unpack[Variations]) -> AsyncJob:
        """n images that share the noised `image`."""
        return await self._submit("variations", options)

    async def interpolate(self, **options: Unpack[Interpolation]) -> AsyncJob:
        """Images on the way from `image_a` to `image_b`."""
        return await self._submit("interpolate", options)

    async def submit(self, task: Task, **options: Any) -> AsyncJob:
        """The job of any task, with what the task's own method takes."""
        return await self._submit(task, options)

    async def dry_run(self, task: Task = "sample", **options: Any) -> DryRun:
        """What a job would become and cost. Takes what the task's own method takes."""
        call = calls.dry_run(body_of(task, options))
        return await self._driver.run(self._service.read(call, DryRun))

    async def job(self, job_id: str) -> AsyncJob:
        """A job by its id. Raises NotFound, and Expired for one that was here once."""
        return self._job(await self._driver.run(self._service.read(calls.job(job_id), JobSnapshot)))

    async def delete(self, job_id: str) -> None:
        """A job by its id, as its own `delete` does. Raises NotFound."""
        await self._driver.run(self._service.delete(calls.delete(job_id)))

    async def jobs(
        self,
        *,
        status: Texts = None,
        model: Texts = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """Our jobs, newest first; of several values of a filter, any. Pages come as needed."""
        flow = self._service.jobs(status=status, model=model, metadata=metadata or {})
        async for snapshot in self._driver.iterate(flow):
            yield self._job(snapshot)

    async def models(self) -> list[Model]:
        """What can be asked for."""
        return list((await self._driver.run(self._service.read(calls.MODELS, ModelList))).data)

    async def model(self, name: str) -> Model:
        """One model. Raises NotFound."""
        return await self._driver.run(self._service.read(calls.model(name), Model))

    async def stats(self) -> Stats:
        """What the service is doing now."""
        return await self._driver.run(self._service.read(calls.STATS, Stats))

    async def verify(self, image: ImageFile, *, timeout_s: float | None = None) -> Verification:
        """Whether sampling an image again gives its pixels; waits for it.

        Takes what was downloaded, as a file or as a picture of `images()`. Raises what a job's
        `wait` does.
        """
        return await self._driver.run(verified(self._service, as_png(image), timeout_s=timeout_s))

    async def close(self) -> None:
        """Hang up. Jobs go on."""
        await self._driver.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _submit(self, task: Task, options: Mapping[str, Any]) -> AsyncJob:
        call = calls.submit(body_of(task, options))
        return self._job(await self._driver.run(self._service.read(call, JobSnapshot)))

    def _job(self, snapshot: JobSnapshot) -> AsyncJob:
        return AsyncJob(self._driver, self._service, snapshot)
