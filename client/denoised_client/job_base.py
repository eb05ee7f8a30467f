"""What a job knows without asking, the same for those who block and those who await."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from denoised_client.resources import JobProblem, JobSnapshot, Progress
from denoised_client.source_images import JobImage


class JobBase:
    """A job, as it stood when the service last told of it: `snapshot`, and the fields most asked
    for by their own names."""

    snapshot: JobSnapshot

    @property
    def id(self) -> str:
        return self.snapshot.id

    @property
    def status(self) -> str:
        """queued, running, canceling, succeeded, failed, canceled or expired."""
        return self.snapshot.status

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return self.snapshot.done

    @property
    def request(self) -> Mapping[str, Any]:
        """As resolved: sending it again gives the same pixels."""
        return self.snapshot.request

    @property
    def seed(self) -> int:
        """The one asked for, or the one drawn."""
        return int(self.snapshot.request["seed"])

    @property
    def n(self) -> int:
        """How many images it makes."""
        return self.snapshot.progress.images_total

    @property
    def progress(self) -> Progress:
        return self.snapshot.progress

    @property
    def error(self) -> JobProblem | None:
        """Why it failed."""
        return self.snapshot.error

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.snapshot.metadata

    @property
    def expires_at(self) -> datetime | None:
        """Until when its images can be had; None while it is not done."""
        return self.snapshot.expires_at

    def source(self, index: int) -> JobImage:
        """Image `index` of this job, for others to start from."""
        return JobImage(self.id, index)

    def __repr__(self) -> str:
        done = f"{self.progress.images_done}/{self.progress.images_total} images"
        return f"<{type(self).__name__} {self.id} {self.status} {done}>"
