"""The API restarts under its listeners: each hears the end, once, and every image."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from httpx2 import Client

from tests.app.api_process import ApiProcess
from tests.app.listening import Follower, listening
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer, until

JOBS, LISTENERS, N = 4, 5, 6
ENDED_S = 60


@contextmanager
def following(urls: list[str]) -> Iterator[list[Follower]]:
    """Several who follow each; left once all have heard their job's end."""
    with Client(timeout=ENDED_S) as client:
        followers = [Follower(client, url) for url in urls for _ in range(LISTENERS)]
        threads = [threading.Thread(target=follower.follow) for follower in followers]
        for thread in threads:
            thread.start()
        yield followers
        for thread in threads:
            thread.join(ENDED_S)
        assert not any(thread.is_alive() for thread in threads)


def test_those_who_listen_are_let_go_when_the_process_leaves(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    with api.client() as client:
        job = client.post("/v1/jobs", json={}).json()
        with listening(client, job["urls"]["events"]) as events:
            next(events)
            api.process.send_signal(signal.SIGTERM)
            assert "done" not in {event.name for event in events}  # a stream cut short raises
    assert api.process.wait(timeout=ENDED_S) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_listener_is_lost_where_the_api_starts_again(
    redis_server: RedisServer, worker: PlayedWorker, how: signal.Signals
) -> None:
    with ApiProcess.start(redis_server.url) as first:
        port = first.port
        with first.client() as client:
            body = {"n": N, "sampler": "ddim"}
            jobs = [client.post("/v1/jobs", json=body).json() for _ in range(JOBS)]
        with following([first.url + job["urls"]["events"] for job in jobs]) as followers:
            held = [worker.begin(job["id"]) for job in jobs]
            for one in held:
                worker.commit(one, 0)
            until(lambda: all(follower.images for follower in followers))
            first.process.send_signal(how)
            assert first.process.wait(timeout=ENDED_S) == (0 if how is signal.SIGTERM else -how)
            for index in (1, 2):  # nobody hears of these as they happen
                for one in held:
                    worker.commit(one, index)
            with ApiProcess.start(redis_server.url, port=port) as second:
                until(lambda: second.url)
                for index in range(3, N):
                    for one in held:
                        worker.commit(one, index)
                until(lambda: all(follower.named("done") for follower in followers))
                until(lambda: all(follower.answers[-1] == 204 for follower in followers))
    for follower in followers:
        assert len(follower.named("done")) == 1
        assert follower.images == set(range(N))
        assert len(follower.named("snapshot")) == 1  # the second time it is told what it missed
        assert follower.answers == [200, 200, 204]
