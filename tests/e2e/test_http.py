"""The whole path, as a client walks it: HTTP, Redis, a worker, and back."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.conftest import RedisServer, Workers, until

LONG = {"name": "ddpm", "steps": 1000}
WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[httpx2.Client]:
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        client.timeout = 90
        yield client


def submit(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def read(client: httpx2.Client, job: dict[str, Any], **headers: str) -> dict[str, Any]:
    now: dict[str, Any] = client.get(job["urls"]["self"], headers=headers).json()
    return now


def pixels(client: httpx2.Client, job: dict[str, Any]) -> dict[int, bytes]:
    """Of each image a finished job lists, by index."""
    job = read(client, job, **WAIT)
    assert job["done"]
    pngs = {image["index"]: client.get(image["url"]).content for image in job["images"]}
    return {index: Image.open(io.BytesIO(png)).tobytes() for index, png in pngs.items()}


def test_submit_poll_download(client: httpx2.Client, workers: Workers, tiny_model: Path) -> None:
    until(lambda: client.get("/readyz").status_code == 503)
    problem(client.post("/v1/jobs", json={}), 503, "no_worker")
    workers.start(tiny_model)
    assert client.get("/readyz").status_code == 200

    job = submit(client, n=4, seed=42, first_index=10, sampler="ddim", output={"scale": 2})
    until(lambda: read(client, job)["status"] == "succeeded")
    job = read(client, job)
    assert [image["index"] for image in job["images"]] == [10, 11, 12, 13]
    for image in job["images"]:
        response = client.get(image["url"])
        assert len(response.content) == image["bytes"]
        png = Image.open(io.BytesIO(response.content))
        assert png.size == (image["width"], image["height"]) == (16, 16)
        recipe = json.loads(png.info["denoised"])
        assert recipe["seed"] == 42
        assert recipe["index"] == image["index"]
        assert recipe["model_sha256"] == job["model"]["sha256"]
        assert recipe["pixels_sha256"] == image["pixels_sha256"]
        unscaled = png.resize((8, 8), Image.Resampling.NEAREST).tobytes()
        assert image["pixels_sha256"] == hashlib.sha256(unscaled).hexdigest()
    grid = Image.open(io.BytesIO(client.get(job["urls"]["grid"]).content))
    assert grid.size == (32, 32)


def test_a_job_submitted_later_joins_the_running_batch_and_changes_nothing(
    client: httpx2.Client, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    alone = pixels(client, submit(client, n=1, seed=7, first_index=2, sampler=LONG))
    long = submit(client, n=3, seed=7, sampler=LONG)
    until(lambda: read(client, long)["progress"]["steps_done"] > 0)
    short = submit(client, n=2, seed=8, sampler="ddim")
    assert read(client, short, **WAIT)["status"] == "succeeded"
    assert read(client, long)["status"] == "running"
    assert pixels(client, long)[2] == alone[2]
    counters = until(lambda: _counters(workers, process, images=6))
    assert counters["joined_running"] == 2
    assert counters["most_jobs_in_a_step"] == 2


def _counters(workers: Workers, process: Any, *, images: int) -> dict[str, int] | None:
    info = workers.info(process)
    return info.counters if info and info.counters.get("images", 0) >= images else None


def test_a_canceled_job_leaves_and_its_neighbours_pixels_stay(
    client: httpx2.Client, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    alone = pixels(client, submit(client, n=2, seed=5, sampler=LONG))
    kept = submit(client, n=2, seed=5, sampler=LONG)
    dropped = submit(client, n=4, seed=6, sampler=LONG)
    until(lambda: read(client, dropped)["status"] == "running")
    assert client.post(dropped["urls"]["cancel"]).json()["status"] in ("canceling", "canceled")
    assert read(client, dropped, **WAIT)["status"] == "canceled"
    assert read(client, kept)["status"] == "running"
    assert pixels(client, kept) == alone


def test_a_submission_that_waits_is_answered_with_the_images(
    client: httpx2.Client, workers: Workers, tiny_model: Path
) -> None:
    workers.start(tiny_model)
    response = client.post("/v1/jobs", json={"n": 2, "sampler": "ddim"}, headers=WAIT)
    assert response.status_code == 200
    assert len(response.json()["images"]) == 2


def test_what_is_not_finished_can_be_looked_at(
    client: httpx2.Client, workers: Workers, tiny_model: Path
) -> None:
    """Sheets that change from one second to the next, and none once the job is over."""
    workers.start(tiny_model)
    job = submit(client, n=5, seed=7, sampler=LONG, priority="high")
    others = submit(client, n=90, sampler=LONG)
    url = job["urls"]["preview"]
    before = client.get(url)
    problem(before, 404, "image_not_found")
    assert before.headers["retry-after"] == "1"
    sheets = [until(lambda: _preview(client, url))]
    sheets.append(until(lambda: sheet if (sheet := _preview(client, url)) != sheets[0] else None))
    for sheet in sheets:
        assert Image.open(io.BytesIO(sheet)).size == (24, 16), "five tiles, in rows of three"
    client.post(others["urls"]["cancel"])
    client.post(job["urls"]["cancel"])
    assert read(client, job, **WAIT)["done"]
    problem(client.get(url), 404, "image_not_found")


def _preview(client: httpx2.Client, url: str) -> bytes | None:
    response = client.get(url)
    return response.content if response.status_code == 200 else None
