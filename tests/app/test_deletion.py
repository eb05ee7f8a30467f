"""DELETE: 204, then as if it had never been."""

import threading
from typing import cast

import pytest
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from protocol.job_store import Commit, Lost
from tests.app import pngs
from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker, picture
from tests.app.test_jobs import submit
from tests.conftest import until


def left(redis: Redis, job_id: str) -> list[bytes]:
    return [key for key in cast(list[bytes], redis.keys("*")) if job_id.encode() in key]


@pytest.mark.parametrize("maxmemory", [0, 1], ids=["room", "full"])
@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "canceled"])
def test_a_deleted_job_was_never_there(
    client: TestClient, worker: PlayedWorker, redis: Redis, state: str, maxmemory: int
) -> None:
    job = submit(client, n=40)
    if state == "succeeded":
        worker.finish(job["id"])
    if state == "running":
        worker.commit(worker.begin(job["id"]), 0)
    if state == "canceled":
        client.post(job["urls"]["cancel"])
    url = job["urls"]["self"]
    assert client.get(url).json()["status"] == state

    redis.config_set("maxmemory", maxmemory)
    response = client.delete(url)
    redis.config_set("maxmemory", 0)
    assert (response.status_code, response.content) == (204, b"")
    for path in ("", "/images", "/images/0.png", "/archive.zip", "/grid.png", "/preview.png"):
        problem(client.get(url + path), 404, "job_not_found")
    problem(client.post(job["urls"]["cancel"]), 404, "job_not_found")
    problem(client.delete(url), 404, "job_not_found")
    assert client.get("/v1/jobs").json()["data"] == []
    assert left(redis, job["id"]) == []
    assert not redis.exists(keys.waiting("tiny"), "rq:queue:tiny.normal")


def test_the_images_it_started_from_go_too(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    image = pngs.text(pngs.file(pngs.image("L")))
    job = submit(client, task="variations", image=image, t=500)
    assert redis.exists(keys.sources(job["id"]))
    client.delete(job["urls"]["self"])
    assert left(redis, job["id"]) == []


def test_a_worker_that_is_at_it_does_no_harm(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    job = submit(client, n=40)
    held = worker.begin(job["id"])
    worker.commit(held, 0)
    client.delete(job["urls"]["self"])
    png, manifest = picture(1)
    worker.images.put(held, 1, png)
    assert worker.store.commit_image(held, manifest, steps_in_flight=0) is Commit.CLOSED
    assert worker.store.report_steps(held, 3) is Lost.GONE
    worker.store.first_step(held, 1.0)
    worker.store.leave_shard(held)
    assert left(redis, job["id"]) == []
    problem(client.get(job["urls"]["self"]), 404, "job_not_found")


def test_an_unknown_job_and_an_unknown_query_are_refused(
    client: TestClient, worker: PlayedWorker
) -> None:
    problem(client.delete(f"/v1/jobs/job_{'0' * 32}"), 404, "job_not_found")
    job = submit(client)
    problem(client.delete(f"{job['urls']['self']}?force=true"), 422, "invalid_request")
    assert client.get(job["urls"]["self"]).status_code == 200


def test_who_waits_for_a_job_learns_that_it_was_deleted(
    api: ApiProcess, worker: PlayedWorker, redis: Redis
) -> None:
    with api.client() as client:
        job = client.post("/v1/jobs", json={}).json()
        answers = []

        def wait() -> None:
            with api.client() as waiting:
                answers.append(waiting.get(job["urls"]["self"], headers={"Prefer": "wait=60"}))

        thread = threading.Thread(target=wait)
        thread.start()
        client.delete(job["urls"]["self"])
        until(lambda: answers)
        thread.join()
    problem(answers[0], 404, "job_not_found")
