"""`?dry_run=true`: what would be queued and what it would cost; nothing is."""

from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from app.cost import cost
from protocol.messages import Output
from tests.app.checks import pointers, problem
from tests.app.played_worker import TINY, PlayedWorker
from tests.app.test_jobs import submit
from tests.jobs import request
from worker.png import encode

SEEDLESS = {"n": 3, "sampler": "ddim", "metadata": {"a": 1}}


def rehearse(client: TestClient, body: dict[str, Any], **headers: str) -> Response:
    return client.post("/v1/jobs?dry_run=true", json=body, headers=headers)


def test_it_tells_what_would_run_and_leaves_nothing(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    before = redis.dbsize()
    response = rehearse(client, SEEDLESS, **{"Idempotency-Key": "k"})
    assert response.status_code == 200
    assert "location" not in response.headers
    told = response.json()
    assert told["object"] == "dry_run"
    assert told["model"] == {"name": "tiny", "sha256": worker.model.sha256}
    assert redis.dbsize() == before
    job = submit(client, **told["request"])
    assert job["request"] == told["request"]
    assert job["progress"]["steps_total"] == told["cost"]["steps"]


def test_one_that_contradicts_itself_queues_nothing(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    before = redis.dbsize()
    response = client.post("/v1/jobs?dry_run=true&dry_run=false", json={})
    assert pointers(problem(response, 422, "invalid_request")) == ["/dry_run"]
    assert redis.dbsize() == before


@pytest.mark.parametrize(
    ("body", "evaluations"),
    [
        ({}, 1000),
        ({"n": 3, "sampler": "ddim"}, 150),
        ({"n": 100_000, "sampler": {"name": "dpmpp-2m", "steps": 8}}, 800_000),
    ],
    ids=str,
)
def test_an_image_costs_an_evaluation_a_step(
    client: TestClient, worker: PlayedWorker, body: dict[str, Any], evaluations: int
) -> None:
    cost = rehearse(client, body).json()["cost"]
    assert (cost["images"], cost["forward_evaluations"]) == (body.get("n", 1), evaluations)
    assert cost["steps"] == evaluations


@pytest.mark.parametrize(("guidance", "each"), [(None, 1), (1, 1), (0, 2), (3.5, 2)])
def test_guidance_doubles_it(
    client: TestClient, redis: Redis, guidance: float | None, each: int
) -> None:
    PlayedWorker(redis, TINY.model_copy(update={"labels": ("shoe", "shirt")})).announce()
    body = {"n": 2, "sampler": "ddim", "labels": ["shoe"], "guidance": guidance}
    cost = rehearse(client, body).json()["cost"]
    assert (cost["forward_evaluations"], cost["steps"]) == (100 * each, 100)


def test_bytes_grow_with_images_and_pixels(client: TestClient, worker: PlayedWorker) -> None:
    def bytes_of(n: int, scale: int) -> int:
        asked = rehearse(client, {"n": n, "output": {"scale": scale}})
        cost: dict[str, int] = asked.json()["cost"]
        return cost["bytes"]

    assert bytes_of(10, 1) == 10 * bytes_of(1, 1)
    assert bytes_of(1, 16) > bytes_of(1, 1) > TINY.image_size_px**2


@pytest.mark.parametrize("scale", [1, 4, 16])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (64, 3)])
def test_no_image_needs_more_bytes_than_were_told(size: int, channels: int, scale: int) -> None:
    """Of noise, which is the worst that a PNG can hold."""
    model = TINY.model_copy(update={"image_size_px": size, "channels": channels})
    asked = request(n=1, output=Output(scale=scale))
    noise = np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)
    provenance = {"model": "m" * 64, "model_sha256": "a" * 64, "engine": "b" * 16, "mode": "eager"}
    png, manifest = encode(noise, 0, asked, provenance)
    stored = len(png) + len(manifest.model_dump_json())
    assert stored < cost(asked, model).bytes < 3 * stored


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"n": 0}, "/n"),
        ({"sampler": {"name": "ddim", "steps": 1001}}, "/sampler/steps"),
        ({"model": "unknown"}, "/model"),
        ({"labels": ["shoe"]}, "/labels"),
    ],
    ids=str,
)
def test_it_refuses_what_a_submission_would_be_refused_for(
    client: TestClient, worker: PlayedWorker, body: dict[str, Any], pointer: str
) -> None:
    refused = problem(rehearse(client, body), 422, "invalid_request")
    assert pointers(refused) == [pointer]
    assert refused == client.post("/v1/jobs", json=body).json()


def test_images_to_start_from_are_read_too(client: TestClient, worker: PlayedWorker) -> None:
    body = {"task": "variations", "image": "AAAA", "t": 5}
    assert pointers(problem(rehearse(client, body), 422, "invalid_image")) == ["/image"]


def test_who_asks_strictly_is_told_that_nobody_is_there(
    client: TestClient, worker: PlayedWorker
) -> None:
    worker.leave()
    problem(rehearse(client, {}, Prefer="handling=strict"), 503, "no_worker")
    assert rehearse(client, {}).status_code == 200
