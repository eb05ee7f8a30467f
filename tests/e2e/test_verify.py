"""Images held against themselves, and jobs deleted under way, with a real worker."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from redis import Redis

from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.conftest import RedisServer, Workers, until
from tests.e2e.test_http import LONG, WAIT, pixels, read, submit


@pytest.fixture
def client(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> Iterator[httpx2.Client]:
    workers.start(tiny_model)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        client.timeout = 90
        yield client


def verified(client: httpx2.Client, png: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "image/png", **WAIT}
    response = client.post("/v1/verify", content=png, headers=headers)
    assert response.status_code == 200, response.text
    verification: dict[str, Any] = response.json()["verification"]
    return verification


def told(png: bytes, *, brighter: int = 0, **changes: Any) -> bytes:
    """The file with other pixels, or another text."""
    image = Image.open(io.BytesIO(png))
    info = PngInfo()
    info.add_text("denoised", json.dumps(json.loads(image.info["denoised"]) | changes))
    file = io.BytesIO()
    image.point(lambda level: min(level + brighter, 255)).save(file, "png", pnginfo=info)
    return file.getvalue()


def test_an_image_is_what_it_says_it_is_or_is_not(client: httpx2.Client) -> None:
    sampler = {"name": "ddim", "steps": 20, "eta": 0.5}
    job = submit(client, n=3, seed=42, first_index=5, sampler=sampler, output={"scale": 2})
    assert read(client, job, **WAIT)["status"] == "succeeded"
    png = client.get(f"{job['urls']['images']}/6.png").content

    match = verified(client, png)
    assert (match["result"], match["largest_difference"], match["reason"]) == ("match", 0, None)

    edited = verified(client, told(png, brighter=3))
    assert edited["result"] == "differs"
    assert 1 <= edited["largest_difference"] <= 3

    lying = verified(client, told(png, seed=43))
    assert lying["result"] == "differs"
    assert "same engine" in lying["reason"]

    foreign = verified(client, told(png, engine="0123456789abcdef"))
    assert (foreign["result"], foreign["largest_difference"]) == ("not_comparable", 0)


def test_a_job_deleted_under_way_leaves_its_neighbours_alone(
    client: httpx2.Client, redis: Redis
) -> None:
    sampler = {"name": "ddpm", "steps": 200}
    alone = pixels(client, submit(client, n=2, seed=5, sampler=sampler))
    deleted = submit(client, n=40, seed=6, sampler=LONG)
    kept = submit(client, n=2, seed=5, sampler=sampler)
    until(lambda: read(client, deleted)["progress"]["steps_done"])
    assert client.delete(deleted["urls"]["self"]).status_code == 204
    problem(client.get(deleted["urls"]["self"]), 404, "job_not_found")
    assert pixels(client, kept) == alone
    until(lambda: not lasting(redis, deleted["id"]))


def lasting(redis: Redis, job_id: str) -> list[bytes]:
    """Keys of a job that nothing will take away."""
    found = cast(list[bytes], redis.keys(f"*{job_id}*"))
    return [key for key in found if redis.ttl(key) == -1]
