"""Server-sent events: what a client hears, and what it hears again after it was away."""

import base64
import time
from collections.abc import Callable, Iterator

import pytest
from httpx2 import Client
from redis import Redis
from starlette.testclient import TestClient

from app import deps
from app.main import create_app
from app.settings import Settings
from protocol import keys
from protocol.preview_store import PreviewStore
from tests.app.api_process import ApiProcess
from tests.app.checks import pointers, problem
from tests.app.listening import Event, listening
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit
from tests.app.test_waiting import records_read
from tests.conftest import RedisServer, until


@pytest.fixture(scope="module")
def one_api(redis_server: RedisServer) -> Iterator[ApiProcess]:
    with ApiProcess.start(redis_server.url) as api:
        yield api


@pytest.fixture
def live(one_api: ApiProcess, redis: Redis) -> Iterator[Client]:
    """Of a process: the test client hears a stream only once it has ended."""
    with one_api.client() as client:
        yield client


def queued(client: Client, n: int = 3) -> tuple[str, str]:
    """A job of n images, and where it is told."""
    job = client.post("/v1/jobs", json={"n": n, "sampler": "ddim"}).json()
    return job["id"], job["urls"]["events"]


def until_named(events: Iterator[Event], name: str) -> Event:
    return next(event for event in events if event.name == name)


def test_a_job_is_told_from_its_snapshot_to_its_end(live: Client, worker: PlayedWorker) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        snapshot = next(events)
        assert snapshot.name == "snapshot"
        assert snapshot.data == live.get(f"/v1/jobs/{job_id}").json()
        worker.finish(job_id)
        heard = list(events)
    names = [event.name for event in heard]
    assert names.count("image") == 3
    assert set(names) <= {"image", "progress", "done"}
    assert (names[-1], names.count("done")) == ("done", 1)
    job = live.get(f"/v1/jobs/{job_id}").json()
    assert heard[-1].data == job
    assert [event.data for event in heard if event.name == "image"] == job["images"]
    places = [event.place for event in (snapshot, *heard)]
    assert places == sorted(places)


def test_progress_is_the_whole_job_and_needs_no_event_of_the_workers(
    live: Client, worker: PlayedWorker
) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        next(events)
        held = worker.begin(job_id)
        assert until_named(events, "progress").data["status"] == "running"
        worker.store.report_steps(held, 30)
        steps = 0
        while steps < 30:
            told = until_named(events, "progress").data
            steps = told["progress"]["steps_done"]
        assert told["urls"]["events"] == url


def test_a_job_that_does_not_change_is_not_told_again(
    live: Client, worker: PlayedWorker, redis: Redis
) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        next(events)
        before = records_read(redis)
        until(lambda: records_read(redis) >= before + 2)
        worker.begin(job_id)
        assert until_named(events, "progress").data["status"] == "running"


def test_progress_is_told_twice_a_second_at_most_whoever_comes(
    live: Client, worker: PlayedWorker
) -> None:
    job_id, url = queued(live, n=32)
    with listening(live, url) as events:
        next(events)
        began = time.monotonic()
        held = worker.begin(job_id)
        for index in range(32):
            worker.commit(held, index)
            with listening(live, url) as others:
                next(others)
        names = [event.name for event in events]
        took_s = time.monotonic() - began
    assert names.count("image") == 32
    assert names.count("progress") <= 2 * took_s + 1


@pytest.mark.parametrize("end", ["finish", "fail", "cancel"])
def test_a_job_that_is_over_is_told_in_full_and_the_stream_closed(
    client: TestClient, worker: PlayedWorker, end: str
) -> None:
    job = submit(client, n=2)
    ends: dict[str, Callable[[str], object]] = {
        "finish": worker.finish,
        "fail": worker.fail,
        "cancel": worker.store.cancel,
    }
    ends[end](job["id"])
    job = client.get(job["urls"]["self"]).json()
    response = client.get(job["urls"]["events"])
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text.startswith("retry: 1000\n\nevent: snapshot\n")
    with listening(client, job["urls"]["events"]) as events:
        heard = list(events)
    assert [(event.name, event.data) for event in heard] == [("snapshot", job), ("done", job)]


def test_who_was_away_hears_what_was_missed_and_no_snapshot(
    live: Client, worker: PlayedWorker
) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        held = worker.begin(job_id)
        worker.commit(held, 0)
        last = until_named(events, "image")
    other, _ = queued(live)
    worker.finish(other)
    worker.commit(held, 1)
    with listening(live, url, since=last.id) as events:
        missed, progress = next(events), next(events)
        assert (missed.name, missed.data["index"]) == ("image", 1)
        assert (progress.name, progress.data["progress"]["images_done"]) == ("progress", 2)
        worker.commit(held, 2)
        heard = list(events)
    told = [event.data["index"] for event in heard if event.name == "image"]
    assert (told, heard[-1].name) == ([2], "done")


def test_who_missed_the_end_hears_it_and_who_heard_it_is_told_to_stop(
    live: Client, worker: PlayedWorker
) -> None:
    job_id, url = queued(live, n=1)
    with listening(live, url) as events:
        begun_at = next(events).id
    worker.finish(job_id)
    # Nothing was in the stream before this job: what such an id has missed cannot be known.
    with listening(live, url, since=begun_at) as events:
        done = until_named(events, "done")
    ms, number = done.place
    just_before = f"{ms}-{number - 1}" if number else f"{ms - 1}-{2**64 - 1}"
    with listening(live, url, since=just_before) as events:
        assert [event.name for event in events] == ["done"]
    for since in (done.id, f"{done.place[0] + 1}-0"):
        over = live.get(url, headers={"Last-Event-ID": since})
        assert (over.status_code, over.content) == (204, b"")


def test_where_the_stream_was_trimmed_a_snapshot_tells_all(
    live: Client, worker: PlayedWorker, redis: Redis
) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        held = worker.begin(job_id)
        worker.commit(held, 0)
        last = until_named(events, "image")
    worker.commit(held, 1)
    redis.xtrim(keys.events(), maxlen=1, approximate=False)
    with listening(live, url, since=last.id) as events:
        snapshot = next(events)
    assert snapshot.name == "snapshot"
    assert [image["index"] for image in snapshot.data["images"]] == [0, 1]


def test_so_does_one_after_more_events_than_are_worth_reading(
    live: Client, worker: PlayedWorker, redis: Redis
) -> None:
    job_id, url = queued(live)
    worker.begin(job_id)
    with listening(live, url) as events:
        last = next(events)
    with redis.pipeline() as pipe:
        for _ in range(1001):
            pipe.xadd(keys.events(), {"job": "job_" + "0" * 32, "event": "image", "index": 1})
        pipe.execute()
    with listening(live, url, since=last.id) as events:
        assert next(events).name == "snapshot"


@pytest.mark.parametrize(
    "since", ["x", "1", "1-1-1", "0-0", "-1-0", "9" * 20 + "-0", "9999999999999-0", "1-1"]
)
def test_an_id_that_is_not_of_this_stream_gets_a_snapshot(
    live: Client, worker: PlayedWorker, since: str
) -> None:
    _, url = queued(live)
    with listening(live, url, since=since) as events:
        assert next(events).name == "snapshot"


def test_those_who_listen_to_a_job_hear_the_same(live: Client, worker: PlayedWorker) -> None:
    job_id, url = queued(live)
    with listening(live, url) as early:
        next(early)
        held = worker.begin(job_id)
        worker.commit(held, 0)
        until_named(early, "image")
        with listening(live, url) as late:
            snapshot = next(late)
            assert (snapshot.name, len(snapshot.data["images"])) == ("snapshot", 1)
            for index in (1, 2):
                worker.commit(held, index)
            ends = [
                [event for event in events if event.name != "progress"] for events in (early, late)
            ]
    assert [(event.name, event.id) for event in ends[0]] == [(e.name, e.id) for e in ends[1]]


def test_previews_are_for_those_who_ask_and_drawn_because_they_do(
    live: Client, worker: PlayedWorker, redis: Redis
) -> None:
    job_id, url = queued(live)
    held = worker.begin(job_id)
    with listening(live, url) as blind:
        next(blind)
        assert not redis.exists(keys.watched(job_id))
        with listening(live, f"{url}?preview=true") as seeing:
            until(lambda: redis.exists(keys.watched(job_id)))
            PreviewStore(redis).put(job_id, held.shard, b"a sheet")
            preview = until_named(seeing, "preview")
            assert base64.b64decode(preview.data["png"]) == b"a sheet"
            assert preview.data["url"] == live.get(f"/v1/jobs/{job_id}").json()["urls"]["preview"]
            for index in range(3):
                worker.commit(held, index)
            assert list(seeing)[-1].name == "done"
        assert "preview" not in {event.name for event in blind}


def test_a_job_that_is_deleted_has_no_more_to_tell(live: Client, worker: PlayedWorker) -> None:
    job_id, url = queued(live)
    with listening(live, url) as events:
        next(events)
        assert live.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert "done" not in {event.name for event in events}
    problem(live.get(url), 404, "job_not_found")


def test_what_cannot_be_listened_to_is_an_error_and_no_stream(
    client: TestClient, worker: PlayedWorker
) -> None:
    unknown = client.get(f"/v1/jobs/job_{'0' * 32}/events")
    problem(unknown, 404, "job_not_found")
    job = submit(client)
    refused = problem(client.get(f"{job['urls']['events']}?x=1"), 422, "invalid_request")
    assert pointers(refused) == ["/x"]


def test_another_tenants_job_is_not_there_to_listen_to(
    redis_server: RedisServer, redis: Redis, worker: PlayedWorker
) -> None:
    app = create_app(Settings(redis_url=redis_server.url))
    with TestClient(app) as client:
        url = submit(client)["urls"]["events"]
        app.dependency_overrides[deps._tenant] = lambda: "bob"
        problem(client.get(url), 404, "job_not_found")


def test_listeners_outlive_a_redis_that_comes_back(
    mortal_api: ApiProcess, mortal_redis: RedisServer
) -> None:
    with mortal_api.client() as client, mortal_redis.client() as redis:
        worker = PlayedWorker(redis)
        worker.announce()
        job_id, url = queued(client)
        with listening(client, url) as events:
            next(events)
            held = worker.begin(job_id)
            worker.commit(held, 0)
            images = [until_named(events, "image").data["index"]]
            worker.commit(held, 1)  # heard, but there is no time to read it
            mortal_redis.kill()
            until(lambda: any("out of sight" in line for line in mortal_api.log))
            mortal_redis.start()
            worker.commit(held, 2)
            heard = list(events)
    images += [event.data["index"] for event in heard if event.name == "image"]
    assert (images, heard[-1].name) == ([0, 1, 2], "done")
