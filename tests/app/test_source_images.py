"""Jobs that start from images: what is recorded, what is kept for the worker, what is refused."""

import hashlib
from typing import Any

import pytest
from PIL import Image
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from protocol.job_store import JobStore
from tests.app import pngs
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker, grey_of

PNG = pngs.file(pngs.image("L"))
PIXELS = pngs.image("L").tobytes()
SHA256 = hashlib.sha256(PIXELS).hexdigest()
NOBODY = f"job_{'0' * 32}"


def variations(image: Any, **changes: Any) -> dict[str, Any]:
    return {"task": "variations", "image": image, "t": 500, "n": 3, **changes}


def submit(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


@pytest.fixture
def finished(client: TestClient, worker: PlayedWorker) -> str:
    """A job of five images, 8 x 8."""
    job_id: str = submit(client, {"n": 5, "first_index": 10})["id"]
    worker.finish(job_id)
    return job_id


def test_variations_are_resolved_and_their_image_is_kept_for_the_worker(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, variations(pngs.text(PNG)))
    asked = job["request"]
    assert job["task"] == asked["task"] == "variations"
    assert (asked["t"], asked["n"]) == (500, 3)
    assert asked["image"] == {"pixels_sha256": SHA256, "job": None, "index": None}
    assert asked["sampler"] == {
        "name": "ddpm",
        "steps": 500,
        "eta": None,
        "spacing": "trailing",
        "variance": "fixed_large",
        "clip": 1.0,
    }
    assert job["progress"]["steps_total"] == 1500
    assert worker.store.sources(job["id"]) == {"image": PIXELS}


def test_an_interpolation_has_two_images_and_lambdas(
    client: TestClient, worker: PlayedWorker
) -> None:
    images = {"image_a": {"png": pngs.text(PNG)}, "image_b": pngs.text(PNG)}
    job = submit(client, {"task": "interpolate", "t": 200, "lambdas": [0, 0.25, 1], **images})
    assert job["request"]["n"] == 3
    assert job["request"]["lambdas"] == [0.0, 0.25, 1.0]
    assert set(worker.store.sources(job["id"])) == {"image_a", "image_b"}
    even = submit(client, {"task": "interpolate", "t": 200, "n": 5, **images})
    assert even["request"]["lambdas"] is None
    request = worker.begin(even["id"]).request
    assert [request.lambda_of(i) for i in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("sampler", "steps", "spacing"),
    [("ddim", 50, "trailing"), ("dpmpp-2m", 20, "linspace"), ("ddpm", 400, "trailing")],
)
def test_a_shortened_chain_starts_where_the_image_was_noised_to(
    client: TestClient, worker: PlayedWorker, sampler: str, steps: int, spacing: str
) -> None:
    job = submit(client, variations(pngs.text(PNG), n=1, t=400, sampler=sampler))
    resolved = job["request"]["sampler"]
    assert (resolved["steps"], resolved["spacing"]) == (steps, spacing)
    few = submit(client, variations(pngs.text(PNG), n=1, t=7, sampler=sampler))
    assert few["request"]["sampler"]["steps"] == 7


def test_an_image_of_another_job_is_meant_by_its_index(
    client: TestClient, worker: PlayedWorker, finished: str
) -> None:
    job = submit(client, variations({"job": finished, "index": 12}))
    assert worker.store.sources(job["id"]) == {"image": bytes([grey_of(12)]) * 64}
    assert job["request"]["image"]["job"] == finished
    again = submit(client, job["request"])
    assert again["request"] == job["request"], "what is echoed can be sent again"


def test_an_image_that_was_written_larger_is_taken_at_its_own_size(
    client: TestClient, worker: PlayedWorker
) -> None:
    job_id = submit(client, {"output": {"scale": 4}})["id"]
    held = worker.begin(job_id)
    large = pngs.image("L").resize((32, 32), Image.Resampling.NEAREST)
    worker.commit(held, 0, png=pngs.file(large))
    job = submit(client, variations({"job": job_id, "index": 0}))
    assert worker.store.sources(job["id"]) == {"image": PIXELS}


def test_an_image_may_be_named_by_its_hash_as_well(
    client: TestClient, worker: PlayedWorker
) -> None:
    submit(client, variations({"png": pngs.text(PNG), "pixels_sha256": SHA256}))
    other = variations({"png": pngs.text(PNG), "pixels_sha256": "0" * 64})
    body = problem(client.post("/v1/jobs", json=other), 422, "invalid_image")
    assert pointers(body) == ["/image/pixels_sha256"]


def test_base64_may_have_lines(client: TestClient, worker: PlayedWorker) -> None:
    lines = "\n".join(pngs.text(PNG)[i : i + 16] for i in range(0, len(pngs.text(PNG)), 16))
    job = submit(client, variations(lines))
    assert job["request"]["image"]["pixels_sha256"] == SHA256


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "no PNG"),
        ("not base64!", "base64"),
        ("AAA", "base64"),
        ("é", "base64"),
        (pngs.text(pngs.file(pngs.image("L", (16, 16)))), "8 x 8 pixels; it is 16 x 16"),
        (pngs.text(pngs.file(pngs.image("RGB"))), "8-bit grey"),
        (pngs.text(pngs.file(pngs.image("L"), "jpeg")), "JPEG"),
        (pngs.text(b"<svg/>"), "SVG"),
        (pngs.text(PNG[:-20]), "truncated"),
        (pngs.text(pngs.bomb(50_000)), "50000 x 50000"),
        ({"job": NOBODY, "index": 0}, "no job"),
    ],
)
def test_a_bad_image_is_refused_and_nothing_is_queued(
    client: TestClient, worker: PlayedWorker, redis: Redis, image: Any, words: str
) -> None:
    before = set(redis.keys())
    response = client.post("/v1/jobs", json=variations(image))
    body = problem(response, 422, "invalid_image")
    assert pointers(body) == ["/image"]
    assert words in body["errors"][0]["detail"]
    assert set(redis.keys()) == before


def test_of_two_bad_images_both_are_told(client: TestClient, worker: PlayedWorker) -> None:
    body = {"task": "interpolate", "t": 9, "n": 2, "image_a": "!", "image_b": "!"}
    answer = problem(client.post("/v1/jobs", json=body), 422, "invalid_image")
    assert pointers(answer) == ["/image_a", "/image_b"]


@pytest.mark.parametrize(("index", "words"), [(9, "10 to 14"), (15, "10 to 14")])
def test_an_index_the_job_does_not_have_is_refused(
    client: TestClient, finished: str, index: int, words: str
) -> None:
    response = client.post("/v1/jobs", json=variations({"job": finished, "index": index}))
    body = problem(response, 422, "invalid_image")
    assert words in body["errors"][0]["detail"]


def test_an_image_that_is_not_finished_is_refused(client: TestClient, worker: PlayedWorker) -> None:
    job_id = submit(client, {})["id"]
    response = client.post("/v1/jobs", json=variations({"job": job_id, "index": 0}))
    assert "not finished" in problem(response, 422, "invalid_image")["errors"][0]["detail"]


def test_the_images_expire_with_their_job(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    job_id = submit(client, variations(pngs.text(PNG), ttl_s=600))["id"]
    assert redis.ttl(keys.sources(job_id)) == -1, "as long as it is open"
    worker.finish(job_id)
    assert 0 < redis.ttl(keys.sources(job_id)) <= 600
    assert JobStore(redis).sources(job_id) == {"image": PIXELS}


def test_a_source_survives_what_the_job_it_came_from_does_not(
    client: TestClient, worker: PlayedWorker, redis: Redis, finished: str
) -> None:
    job = submit(client, variations({"job": finished, "index": 10}))
    redis.delete(*[key for key in redis.keys("*") if finished.encode() in key])
    assert worker.store.sources(job["id"]) == {"image": bytes([grey_of(10)]) * 64}
