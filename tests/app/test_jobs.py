"""Submit, read, cancel: what a client is told."""

import re
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from protocol.shard_queue import queue_names
from tests.app.checks import moment, problem
from tests.app.played_worker import PlayedWorker

RESOLVED = {
    "task": "sample",
    "model": "tiny",
    "n": 1,
    "first_index": 0,
    "output": {"format": "png", "scale": 1},
    "priority": "normal",
    "timeout_s": None,
    "ttl_s": 86_400,
    "metadata": {},
    "t": None,
    "image": None,
    "image_a": None,
    "image_b": None,
    "lambdas": None,
    "labels": None,
    "guidance": None,
    "webhook": None,
}


def submit(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def test_an_empty_object_is_a_job_with_everything_resolved(
    client: TestClient, worker: PlayedWorker
) -> None:
    response = client.post("/v1/jobs", json={})
    assert response.status_code == 202
    job = response.json()
    assert re.fullmatch("job_[0-9a-f]{32}", job["id"])
    assert response.headers["location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert (job["status"], job["done"], job["object"]) == ("queued", False, "job")
    assert job["model"] == {"name": "tiny", "sha256": worker.model.sha256}
    request = job["request"]
    assert request.pop("seed") in range(2**53)
    assert request.pop("sampler") == {
        "name": "ddpm",
        "steps": 1000,
        "eta": None,
        "spacing": "leading",
        "variance": "fixed_large",
        "clip": 1.0,
    }
    assert request == RESOLVED
    assert moment(job["created_at"])
    assert job["started_at"] is job["finished_at"] is job["expires_at"] is job["error"] is None


def test_a_seed_nobody_named_is_another_each_time(client: TestClient, worker: PlayedWorker) -> None:
    assert len({submit(client)["request"]["seed"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [
        ("ddim", {"name": "ddim", "steps": 50, "eta": 0.0, "variance": None}),
        ({"name": "ddim", "eta": 1}, {"name": "ddim", "steps": 50, "eta": 1.0}),
        ({"name": "ddpm", "steps": 100}, {"steps": 100, "variance": "fixed_small"}),
        ({"name": "ddpm", "clip": 2.5}, {"steps": 1000, "clip": 2.5}),
        ({"name": "ddpm", "steps": 9, "spacing": "quadratic"}, {"spacing": "quadratic"}),
        (
            "dpmpp-2m",
            {
                "name": "dpmpp-2m",
                "steps": 20,
                "eta": None,
                "spacing": "linspace",
                "variance": None,
                "clip": None,
            },
        ),
        (
            {"name": "dpmpp-2m", "clip": 1, "spacing": "trailing"},
            {"spacing": "trailing", "clip": 1},
        ),
        (None, {"name": "ddpm", "steps": 1000}),
    ],
    ids=str,
)
def test_a_sampler_is_told_in_full(
    client: TestClient, worker: PlayedWorker, asked: Any, resolved: dict[str, Any]
) -> None:
    told = submit(client, sampler=asked)["request"]["sampler"]
    assert resolved.items() <= told.items()


def test_what_is_echoed_can_be_sent_again(client: TestClient, worker: PlayedWorker) -> None:
    sampler = {"name": "ddim", "steps": 20, "eta": 0.5, "spacing": "trailing"}
    asked = {"n": 3, "seed": 2**53 - 1, "sampler": sampler, "metadata": {"über": [1, None]}}
    first = submit(client, **asked)["request"]
    assert submit(client, **first)["request"] == first


def test_where_two_models_are_served_a_job_names_one(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    PlayedWorker(redis, worker.model.model_copy(update={"name": "other"}), name="2nd").announce()
    body = problem(client.post("/v1/jobs", json={}), 422, "invalid_request")
    assert "other, tiny" in body["errors"][0]["detail"]
    assert submit(client, model="other")["model"]["name"] == "other"


def test_a_model_without_a_live_worker_waits_unless_the_client_would_rather_not(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    worker.leave()
    strict = client.post("/v1/jobs", json={}, headers={"Prefer": "handling=strict"})
    problem(strict, 503, "no_worker")
    assert int(strict.headers["retry-after"]) > 0
    assert not any(redis.llen(f"rq:queue:{name}") for name in queue_names("tiny"))
    assert submit(client)["progress"]["queue_position"] == 0


def test_where_no_model_was_ever_published_nothing_can_be_asked(
    client: TestClient, redis: Redis
) -> None:
    problem(client.post("/v1/jobs", json={}), 503, "no_worker")
    assert redis.dbsize() == 0


def test_progress_counts_steps_and_images_fill_as_they_finish(
    client: TestClient, worker: PlayedWorker
) -> None:
    job_id = submit(client, n=2, first_index=5, sampler="ddim")["id"]
    held = worker.begin(job_id)
    running = client.get(f"/v1/jobs/{job_id}").json()
    assert (running["status"], running["images"]) == ("running", [])
    assert running["progress"]["queue_position"] is None
    assert running["engine"] == worker.engine

    png = worker.commit(held, 6, steps_in_flight=25)
    half = client.get(f"/v1/jobs/{job_id}").json()
    assert half["progress"] | {"eta_s": None} == {
        "fraction": 0.75,
        "steps_done": 75,
        "steps_total": 100,
        "images_done": 1,
        "images_total": 2,
        "eta_s": None,
        "queue_position": None,
    }
    (image,) = half["images"]
    assert image["index"] == 6
    assert image["bytes"] == len(png)
    assert client.get(image["url"]).content == png

    worker.commit(held, 5)
    done = client.get(f"/v1/jobs/{job_id}")
    assert "retry-after" not in done.headers
    job = done.json()
    assert (job["status"], job["done"], job["progress"]["fraction"]) == ("succeeded", True, 1.0)
    assert [image["index"] for image in job["images"]] == [5, 6]
    assert moment(job["created_at"]) <= moment(job["started_at"]) <= moment(job["finished_at"])
    assert (moment(job["expires_at"]) - moment(job["finished_at"])).total_seconds() == 86_400


def test_a_job_that_has_not_changed_is_not_sent_again(
    client: TestClient, worker: PlayedWorker
) -> None:
    url = submit(client)["urls"]["self"]
    etag = client.get(url).headers["etag"]
    again = client.get(url, headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    worker.begin(url.rpartition("/")[2])
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 200


def test_of_a_large_job_a_thousand_images_are_listed(
    client: TestClient, worker: PlayedWorker
) -> None:
    job_id = submit(client, n=1001, sampler="ddim")["id"]
    worker.finish(job_id)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert len(job["images"]) == 1000
    assert job["images_truncated"] is True
    assert job["progress"]["images_done"] == 1001


def test_a_failed_job_says_why_and_is_still_a_200(client: TestClient, worker: PlayedWorker) -> None:
    job_id = submit(client)["id"]
    worker.fail(job_id)
    response = client.get(f"/v1/jobs/{job_id}")
    assert response.status_code == 200
    job = response.json()
    assert (job["status"], job["done"]) == ("failed", True)
    assert job["error"] == {
        "type": "urn:denoised:problem:worker_lost",
        "code": "worker_lost",
        "title": "Worker lost",
        "detail": "three times",
    }


def test_a_job_nobody_has_begun_is_canceled_at_once(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client)
    canceled = client.post(job["urls"]["cancel"])
    assert (canceled.status_code, canceled.json()["status"]) == (202, "canceled")
    again = client.post(job["urls"]["cancel"])
    assert (again.status_code, again.json()) == (200, canceled.json())


def test_a_running_job_is_canceling_until_its_worker_lets_go(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=2)
    held = worker.begin(job["id"])
    worker.commit(held, 0)
    for _ in range(2):
        assert client.post(job["urls"]["cancel"]).json()["status"] == "canceling"
    worker.store.leave_shard(held)
    ended = client.get(job["urls"]["self"]).json()
    assert (ended["status"], len(ended["images"])) == ("canceled", 1)


def test_a_finished_job_cannot_be_canceled(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client)
    worker.finish(job["id"])
    before = client.get(job["urls"]["self"]).json()
    response = client.post(job["urls"]["cancel"])
    assert (response.status_code, response.json()) == (200, before)
