"""A client of event streams: it reads, and comes back where the stream ends before the job does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from httpx2 import Client, EventSource, Response, ServerSentEvent, TransportError

COME_BACK_S = 0.25
GIVE_UP_S = 60.0


@dataclass
class Event:
    """As it was heard, without the stream's first word, `retry`."""

    name: str
    data: dict[str, Any]
    id: str

    @property
    def place(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.id.split("-"))


def events_of(response: Response) -> Iterator[Event]:
    for heard in EventSource(response):
        if heard.data:
            yield _event(heard)


def _event(heard: ServerSentEvent) -> Event:
    return Event(heard.event, cast(dict[str, Any], heard.json()), heard.id)


@contextmanager
def listening(client: Client, url: str, *, since: str = "") -> Iterator[Iterator[Event]]:
    """The events of an open stream, as they come."""
    headers = {"Last-Event-ID": since} if since else {}
    with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200, response.read()
        yield events_of(response)


@dataclass
class Follower:
    """Follows a job to its end, whatever happens to the server."""

    client: Client
    url: str
    heard: list[Event] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def follow(self) -> None:
        """Until the server says that there is no more."""
        deadline = time.monotonic() + GIVE_UP_S
        while 204 not in self.answers and time.monotonic() < deadline:
            try:
                self._listen()
            except TransportError:
                time.sleep(COME_BACK_S)

    def _listen(self) -> None:
        headers = {"Last-Event-ID": self.heard[-1].id} if self.heard else {}
        with self.client.stream("GET", self.url, headers=headers) as response:
            self.answers.append(response.status_code)
            if response.status_code == 200:
                self.heard.extend(events_of(response))

    def named(self, name: str) -> list[Event]:
        return [event for event in self.heard if event.name == name]

    @property
    def images(self) -> set[int]:
        """Indices of all images that it was told of."""
        listed = [image for event in self.named("snapshot") for image in event.data["images"]]
        return {image["index"] for image in [*listed, *(e.data for e in self.named("image"))]}
