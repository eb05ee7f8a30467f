"""What every route that takes a body and queues something can answer, as far as it says so."""

import threading
from collections.abc import Callable
from typing import Any, cast

from httpx2 import Response
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app import owners
from tests.app.test_verify import made
from tests.app.world import World
from tests.conftest import until

GOOD: dict[str, tuple[bytes, str]] = {
    "/v1/jobs": (b"{}", "application/json"),
    "/v1/verify": (made(), "image/png"),
    "/v1/webhooks/test": (b'{"url": "https://example.org/hook"}', "application/json"),
}
SPOILED_IMAGE: dict[str, dict[str, Any]] = {
    "/v1/jobs": {"task": "variations", "t": 500, "image": "AAAA"},
    "/v1/verify": {"image": "AAAA"},
}
JSON = {"Content-Type": "application/json"}
NAMED = {"Idempotency-Key": "a-name"}


def submit(client: TestClient, path: str, **headers: str) -> Response:
    body, media_type = GOOD[path]
    return client.post(path, content=body, headers={"Content-Type": media_type, **headers})


def _waited_for(world: World, path: str) -> Response:
    def play() -> None:
        queue = "rq:queue:tiny.normal"
        shard = until(lambda: cast(bytes | None, world.redis.lindex(queue, 0)))
        world.worker.finish(shard.decode().rpartition("-")[0])

    player = threading.Thread(target=play)
    player.start()
    response = submit(world.client, path, Prefer="wait=60")
    player.join()
    return response


def _into_a_full_queue(world: World, path: str) -> Response:
    settings = Settings(redis_url=world.server.url, max_queued_images=1)
    with TestClient(create_app(settings)) as client:
        submit(client, path)
        return submit(client, path)


def _beyond_a_quota(world: World, path: str) -> Response:
    small = owners.header("small")
    world.keyed.post("/v1/jobs", json={"n": 5}, headers=small)
    return submit(world.keyed, path, **small)


def _strictly(world: World, path: str) -> Response:
    world.worker.leave()
    return submit(world.client, path, Prefer="handling=strict")


def _named_as_something_else(world: World, path: str) -> Response:
    submit(world.client, "/v1/verify" if path == "/v1/jobs" else "/v1/jobs", **NAMED)
    return submit(world.client, path, **NAMED)


def _named_as_what_was_deleted(world: World, path: str) -> Response:
    world.client.delete(submit(world.client, path, **NAMED).headers["location"])
    return submit(world.client, path, **NAMED)


ROWS: dict[str, Callable[[World, str], Response]] = {
    "202": lambda w, path: submit(w.client, path),
    "200": _waited_for,
    "400 malformed_json": lambda w, path: w.client.post(path, content=b"{", headers=JSON),
    "400 malformed_key": lambda w, path: submit(w.client, path, **{"Idempotency-Key": '"'}),
    "404 job_not_found": _named_as_what_was_deleted,
    "408 request_timeout": lambda w, path: w.slow(path),
    "413 body_too_large": lambda w, path: w.client.post(
        path, content=b" " * (8 * 2**20 + 1), headers=JSON
    ),
    "415 unsupported_media_type": lambda w, path: w.client.post(path, content=b"{}"),
    "422 invalid_image": lambda w, path: w.client.post(path, json=SPOILED_IMAGE[path]),
    "422 idempotency_key_reused": _named_as_something_else,
    "429 queue_full": _into_a_full_queue,
    "429 quota_exceeded": _beyond_a_quota,
    "503 no_worker": _strictly,
    "507 storage_full": lambda w, path: w.full(lambda: submit(w.client, path)),
}
