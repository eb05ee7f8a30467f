"""A job, for callers that await."""

from collections.abc import AsyncIterator
from pathlib import Path

from PIL import Image

from denoised_client import calls, gallery
from denoised_client.async_driver import AsyncDriver
from denoised_client.following import waited
from denoised_client.image_folder import ImageFolder
from denoised_client.job_base import JobBase
from denoised_client.progress import ProgressBar
from denoised_client.resources import JobSnapshot
from denoised_client.saving import saved
from denoised_client.service import Service


class AsyncJob(JobBase):
    """A job of an `AsyncClient`; its fields are as the service last told: see `refresh`."""

    def __init__(self, driver: AsyncDriver, service: Service, snapshot: JobSnapshot) -> None:
        self._driver, self._service, self.snapshot = driver, service, snapshot

    async def refresh(self) -> "AsyncJob":
        """This job, as it stands now."""
        self.snapshot = await self._driver.run(self._service.read(calls.job(self.id), JobSnapshot))
        return self

    async def wait(
        self, *, timeout_s: float | None = None, progress: bool | None = None
    ) -> "AsyncJob":
        """This job, when it has succeeded. A bar on stderr, if that is a terminal, or as you say.

        Raises JobFailed, JobCanceled, JobExpired; StillRunning after `timeout_s`.
        """
        with ProgressBar(progress) as bar:
            flow = waited(self._service, self.snapshot, timeout_s=timeout_s, watched=bar.is_shown)
            async for snapshot in self._driver.iterate(flow):
                self.snapshot = snapshot
                bar.show(snapshot)
        return self

    async def images(self) -> AsyncIterator[Image.Image]:
        """The pictures by index, each as soon as it and those before it are finished.

        Raises what `wait` does, after the last picture, and DamagedImage.
        """
        flow = gallery.pictures(self._service, self.snapshot)
        items: AsyncIterator[JobSnapshot | Image.Image] = self._driver.iterate(flow)
        async for item in items:
            if isinstance(item, JobSnapshot):
                self.snapshot = item
            else:
                yield item

    async def image(self, index: int) -> Image.Image:
        """One picture, by absolute index. Raises NotFound where it is not finished."""
        return await self._driver.run(gallery.one_picture(self._service, self.snapshot, index))

    async def save(
        self, folder: str | Path, *, overwrite: bool = False, progress: bool | None = None
    ) -> list[Path]:
        """The files, by index, written as the images finish: `000000.png` and so on.

        Begun again it fetches only what is not there. Raises FileExistsError, unless `overwrite`,
        for a file that is another image; and, with all that was finished saved, what `wait` does.
        """
        paths: list[Path] = []
        target = ImageFolder(Path(folder), self.snapshot.scale, overwrite)
        with ProgressBar(progress) as bar:
            flow = saved(self._service, self.snapshot, target)
            items: AsyncIterator[JobSnapshot | Path] = self._driver.iterate(flow)
            async for item in items:
                if isinstance(item, JobSnapshot):
                    self.snapshot = item
                    bar.show(item)
                else:
                    paths.append(item)
        return paths

    async def grid(self, columns: int | None = None) -> Image.Image:
        """A contact sheet of what is finished. Raises NotFound before the first."""
        return await self._driver.run(gallery.sheet(self._service, self.snapshot, columns))

    async def preview(self) -> Image.Image:
        """What is unfinished, as it looks by now. Raises NotFound where there is nothing."""
        return await self._driver.run(gallery.preview(self._service, self.snapshot))

    async def cancel(self) -> "AsyncJob":
        """This job, canceled or about to be; a finished one stays as it is."""
        call = calls.cancel(self.snapshot)
        self.snapshot = await self._driver.run(self._service.read(call, JobSnapshot))
        return self

    async def delete(self) -> None:
        """Cancel it if need be, and forget it with its images."""
        await self._driver.run(self._service.delete(calls.delete(self.id)))
