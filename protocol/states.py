"""The life of a job."""

from enum import StrEnum


class JobState(StrEnum):
    """What a job can be; the words of the HTTP contract."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"  # asked for; rows are leaving the batch
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"  # never stored: a finished job whose images are gone

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to its images, but for their expiry."""
        return not MOVES[self] - {JobState.EXPIRED}


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELED}),
    JobState.RUNNING: frozenset(
        {JobState.CANCELING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED}
    ),
    JobState.CANCELING: frozenset({JobState.CANCELED}),
    JobState.SUCCEEDED: frozenset({JobState.EXPIRED}),
    JobState.FAILED: frozenset({JobState.EXPIRED}),
    JobState.CANCELED: frozenset({JobState.EXPIRED}),
    JobState.EXPIRED: frozenset(),
}
