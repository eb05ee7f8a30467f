"""`Prefer: wait=N`: the answer comes when the job is done, and costs no thread until then."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

import pytest
from httpx2 import Client, Response
from redis import Redis
from starlette.testclient import TestClient

from app.prefer import Preferences, parse
from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit
from tests.conftest import until

MANY = 100
NEVER_S = 60  # longer than any of these tests may take


@pytest.mark.parametrize(
    ("fields", "preferences"),
    [
        ([], Preferences()),
        (["wait=10"], Preferences(wait_s=10)),
        (["WAIT = 10"], Preferences(wait_s=10)),
        (['wait="10"; foo=bar'], Preferences(wait_s=10)),
        (["wait=0"], Preferences(wait_s=0)),
        (["wait=3600"], Preferences(wait_s=60)),
        (["wait=5, wait=9"], Preferences(wait_s=5)),
        (["handling=strict, wait=5"], Preferences(wait_s=5, strict=True)),
        (["wait=5", "handling=strict"], Preferences(wait_s=5, strict=True)),
        (["handling=lenient"], Preferences()),
        (["respond-async, return=minimal"], Preferences()),
        (["wait=-1"], Preferences()),
        (["wait=1e3"], Preferences()),
        (["wait=²"], Preferences()),
        (["wait"], Preferences()),
        ([",,=,wait=;"], Preferences()),
    ],
)
def test_preferences_are_read_or_ignored(fields: list[str], preferences: Preferences) -> None:
    assert parse(fields) == preferences


@contextmanager
def waiting(client: Client, urls: list[str]) -> Iterator[list[Future[Response]]]:
    """A request for each, that holds until its job is done."""
    with ThreadPoolExecutor(len(urls)) as pool:
        yield [pool.submit(client.get, url, headers={"Prefer": "wait=60"}) for url in urls]


def records_read(redis: Redis) -> int:
    """How often anybody has read a job: he who waits has done so."""
    calls: int = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    return calls


def test_a_wait_ends_with_the_job(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client)
    finishing = threading.Timer(0.2, worker.finish, [job["id"]])
    finishing.start()
    began = time.monotonic()
    response = client.get(job["urls"]["self"], headers={"Prefer": f"wait={NEVER_S}"})
    finishing.join()
    assert response.json()["status"] == "succeeded"
    assert response.headers["preference-applied"] == "wait"
    assert time.monotonic() - began < NEVER_S / 2


def test_a_wait_that_is_over_tells_how_far_the_job_is(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client)
    response = client.get(job["urls"]["self"], headers={"Prefer": "wait=1"})
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    assert response.headers["retry-after"]


def test_a_submission_that_waits_is_answered_with_the_finished_job(
    client: TestClient, worker: PlayedWorker
) -> None:
    def play() -> None:
        shard = until(lambda: cast(bytes | None, worker.redis.lindex("rq:queue:tiny.normal", 0)))
        worker.finish(shard.decode().rpartition("-")[0])

    player = threading.Thread(target=play)
    player.start()
    response = client.post("/v1/jobs", json={}, headers={"Prefer": f"wait={NEVER_S}"})
    player.join()
    assert (response.status_code, response.json()["status"]) == (200, "succeeded")


def test_a_submission_that_waited_in_vain_is_accepted_all_the_same(
    client: TestClient, worker: PlayedWorker
) -> None:
    response = client.post("/v1/jobs", json={}, headers={"Prefer": "wait=0"})
    assert (response.status_code, response.json()["status"]) == (202, "queued")


def test_a_hundred_who_wait_need_no_thread_each(api: ApiProcess, worker: PlayedWorker) -> None:
    with api.client() as client:
        client.timeout = NEVER_S
        body = {"sampler": "ddim"}
        jobs = [client.post("/v1/jobs", json=body).json() for _ in range(MANY)]
        urls = [job["urls"]["self"] for job in jobs]
        with waiting(client, urls) as answers:
            for job in jobs:
                worker.finish(job["id"])
            finished = [answer.result().json()["status"] for answer in answers]
    assert finished == ["succeeded"] * MANY
    assert api.threads() < MANY / 2


def test_those_who_wait_are_answered_when_the_process_leaves(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    with api.client() as client:
        job = client.post("/v1/jobs", json={}).json()
        before = records_read(worker.redis)
        with waiting(client, [job["urls"]["self"]]) as (answer,):
            until(lambda: records_read(worker.redis) > before)
            api.process.send_signal(signal.SIGTERM)
            response = answer.result(timeout=NEVER_S)
    assert (response.status_code, response.json()["status"]) == (200, "queued")
    assert api.process.wait(timeout=NEVER_S) == 0
