"""A job as it goes on: by server-sent events where the service has them, else by long polls."""

from dataclasses import dataclass, field
from math import ceil

from httpx2 import ServerSentEvent
from pydantic import ValidationError

from denoised_client import calls
from denoised_client.deadline import Deadline
from denoised_client.effects import Call, Close, Flow, ItemFlow, Opened, Read
from denoised_client.errors import StillRunning, Unreachable, raise_unless_succeeded
from denoised_client.resources import JobSnapshot, Verification
from denoised_client.service import Service, opened

LONGEST_WAIT_S = 30  # of a poll: well under what proxies bear
LOOK_S = 1  # between two looks of one who watches; what a look may take
MOST_STREAMS = 6  # that are opened, one after the other, before polls take over
WHOLE_JOBS = ("snapshot", "progress", "done")  # the events whose data is the job


def waited(
    service: Service, job: JobSnapshot, *, timeout_s: float | None, watched: bool
) -> ItemFlow[JobSnapshot]:
    """The job as it goes on, until it has succeeded.

    Raises JobFailed, JobCanceled, JobExpired; StillRunning after `timeout_s`.
    """
    follower = Follower(service, job, watched=watched, deadline=Deadline.after(timeout_s))
    yield job
    while not follower.job.done:
        yield (yield from follower.next())
    raise_unless_succeeded(follower.job)


def verified(service: Service, png: bytes, *, timeout_s: float | None) -> Flow[Verification]:
    """What the job that samples an image again has shown. Raises what `waited` does."""
    deadline = Deadline.after(timeout_s)
    call = calls.verify(png, deadline=deadline.not_before(LOOK_S))
    job = yield from service.read(call, JobSnapshot)
    follower = Follower(service, job, watched=False, deadline=deadline)
    while not follower.job.done:
        yield from follower.next()
    raise_unless_succeeded(follower.job)
    return follower.job.verification or Verification()


@dataclass(slots=True)
class Follower:
    """Knows how the job stands, and how to learn more."""

    service: Service
    job: JobSnapshot
    watched: bool = True  # somebody looks on: every change counts, not only the end
    deadline: Deadline = Deadline()
    _stream: Opened | None = None
    _last_id: str = ""
    _has_polled: bool = False
    _streams_left: int = field(init=False)

    def __post_init__(self) -> None:
        offered = self.job.urls.events is not None
        by_events = offered and self.watched and self.deadline.at is None
        self._streams_left = MOST_STREAMS if by_events else 0

    def next(self) -> Flow[JobSnapshot]:
        """The job when it has changed, or a second later if it is watched."""
        while self._streams_left:
            if (job := (yield from self._from_event())) is not None:
                self.job = job
                return job
        self.job = yield from self._from_poll()
        return self.job

    def refresh(self) -> Flow[None]:
        """See how it stands, at once."""
        self.job = yield from self.service.read(calls.job(self.job.id), JobSnapshot)

    def _from_poll(self) -> Flow[JobSnapshot]:
        call = self._next_poll()
        self._has_polled = True
        try:
            return (yield from self.service.read(call, JobSnapshot))
        except StillRunning as error:
            raise self._still_running() from error

    def _next_poll(self) -> Call:
        """However little time was given, one look is had. Raises StillRunning when it is over."""
        left_s = self.deadline.left_s(LOOK_S if self.watched else LONGEST_WAIT_S)
        if left_s < LOOK_S and not self._has_polled:
            return calls.job(self.job.id, deadline=self.deadline.not_before(LOOK_S))
        if left_s <= 0:
            raise self._still_running()
        return calls.job(self.job.id, wait_s=ceil(left_s), deadline=self.deadline)

    def _still_running(self) -> StillRunning:
        return StillRunning(f"{self.job.id} is {self.job.status} still")

    def _from_event(self) -> Flow[JobSnapshot | None]:
        """None for an event of no interest, or where the stream has ended."""
        try:
            stream = self._stream or (yield from self._opened())
            event: ServerSentEvent | None = yield Read(stream)
        except Unreachable:
            event = None
        if event is None:
            self._stream, self._streams_left = None, self._streams_left - 1
            return None
        self._last_id = event.id or self._last_id
        job = _job_in(event)
        if job is not None and job.done:
            yield Close(stream)
            self._stream = None
        return job

    def _opened(self) -> Flow[Opened]:
        """The stream, from where the last one was cut. Raises Unreachable where there is none."""
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        call = Call("GET", calls.path_of(self.job.urls.events), headers=headers)
        stream = yield from opened(call, as_events=True)
        if stream.status != 200:
            yield Close(stream)
            self._streams_left = 1
            raise Unreachable(f"no events: HTTP status {stream.status}")
        self._stream = stream
        return stream


def _job_in(event: ServerSentEvent) -> JobSnapshot | None:
    if event.event not in WHOLE_JOBS:
        return None
    try:
        return JobSnapshot.model_validate_json(event.data)
    except ValidationError:
        return None  # the polls will tell
