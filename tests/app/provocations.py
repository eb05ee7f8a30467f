"""For every answer the document promises, the request that gets it.

A new route adds its successes and its own errors to OWN; what every route can be refused for is in
ANY already. A row is a function of the world, and, in ANY, of the operation.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from protocol import keys
from tests.app import owners
from tests.app.operations import Operation
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer, until

JSON = {"Content-Type": "application/json"}
UNKNOWN = f"job_{'0' * 32}"


@dataclass
class World:
    """A service with a live worker and an empty queue, and what can be done to it."""

    server: RedisServer
    redis: Redis
    worker: PlayedWorker
    client: TestClient  # of a service without keys
    keyed: TestClient  # of one with the keys of `owners`
    slow: Callable[[], Response]  # a body that never ends

    def job(self, **body: Any) -> str:
        response = self.client.post("/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return cast(str, response.json()["id"])

    def finished(self) -> str:
        job_id = self.job()
        self.worker.finish(job_id)
        return job_id

    def gone(self) -> str:
        """A job whose record has expired."""
        job_id = self.finished()
        self.redis.delete(keys.job(job_id))
        return job_id

    def ask(self, operation: Operation, job_id: str, **options: Any) -> Response:
        return self.client.request(
            operation.method, operation.url(job_id), **(operation.body() | options)
        )

    def full(self, ask: Callable[[], Response]) -> Response:
        """What is answered while Redis refuses writes."""
        self.redis.config_set("maxmemory", 1)
        try:
            return ask()
        finally:
            self.redis.config_set("maxmemory", 0)


def _unkeyed(world: World, operation: Operation) -> Response:
    return world.keyed.request(operation.method, operation.url(UNKNOWN))


def _not_an_admin(world: World, operation: Operation) -> Response:
    return world.keyed.request(
        operation.method, operation.url(UNKNOWN), headers=owners.header("anna")
    )


def _too_often(world: World, operation: Operation) -> Response:
    hasty = owners.header("hasty")
    answers = [
        world.keyed.request(operation.method, operation.url(UNKNOWN), headers=hasty)
        for _ in range(3)
    ]
    return answers[-1]


def _without_redis(world: World, operation: Operation) -> Response:
    settings = Settings(redis_url=f"unix://{Path(world.server.folder)}/nowhere.sock")
    with TestClient(create_app(settings)) as client:
        return client.request(operation.method, operation.url(UNKNOWN), **operation.body())


def _with_an_unknown_parameter(world: World, operation: Operation) -> Response:
    return world.ask(operation, world.finished(), params={"nonsense": "1"})


ANY: dict[str, Callable[[World, Operation], Response]] = {
    "unauthenticated": _unkeyed,
    "forbidden": _not_an_admin,
    "rate_limited": _too_often,
    "redis_unavailable": _without_redis,
    "invalid_request": _with_an_unknown_parameter,
    "job_not_found": lambda world, operation: world.ask(operation, UNKNOWN),
    "image_not_found": lambda world, operation: world.ask(operation, world.job()),
    "expired": lambda world, operation: world.ask(operation, world.gone()),
}


def _waited_for(world: World) -> Response:
    def play() -> None:
        queue = "rq:queue:tiny.normal"
        shard = until(lambda: cast(bytes | None, world.redis.lindex(queue, 0)))
        world.worker.finish(shard.decode().rpartition("-")[0])

    player = threading.Thread(target=play)
    player.start()
    response = world.client.post("/v1/jobs", json={}, headers={"Prefer": "wait=60"})
    player.join()
    return response


def _into_a_full_queue(world: World) -> Response:
    settings = Settings(redis_url=world.server.url, max_queued_images=1)
    with TestClient(create_app(settings)) as client:
        return client.post("/v1/jobs", json={"n": 2})


def _of_a_spoiled_image(world: World) -> Response:
    body = {"task": "variations", "t": 500, "image": "AAAA"}
    return world.client.post("/v1/jobs", json=body)


def _again(world: World, url: str) -> Response:
    """With the ETag that the first answer had."""
    etag = world.client.get(url).headers["etag"]
    return world.client.get(url, headers={"If-None-Match": etag})


def _while_nobody_works(world: World) -> Response:
    world.worker.leave()
    return world.client.get("/readyz")


def _strictly(world: World) -> Response:
    world.worker.leave()
    return world.client.post("/v1/jobs", json={}, headers={"Prefer": "handling=strict"})


def _seen(world: World) -> Response:
    """A preview, which a worker has drawn."""
    job_id = world.job()
    world.worker.begin(job_id)
    world.redis.hset(keys.previews(job_id), "0", b"a PNG")
    return world.client.get(f"/v1/jobs/{job_id}/preview.png")


OWN: dict[str, Callable[[World], Response]] = {
    "POST /v1/jobs 202": lambda w: w.client.post("/v1/jobs", json={}),
    "POST /v1/jobs 200": _waited_for,
    "POST /v1/jobs 400 malformed_json": lambda w: w.client.post(
        "/v1/jobs", content=b"{", headers=JSON
    ),
    "POST /v1/jobs 408 request_timeout": lambda w: w.slow(),
    "POST /v1/jobs 413 body_too_large": lambda w: w.client.post(
        "/v1/jobs", content=b" " * (8 * 2**20 + 1), headers=JSON
    ),
    "POST /v1/jobs 415 unsupported_media_type": lambda w: w.client.post("/v1/jobs", content=b"{}"),
    "POST /v1/jobs 422 invalid_image": _of_a_spoiled_image,
    "POST /v1/jobs 429 queue_full": _into_a_full_queue,
    "POST /v1/jobs 429 quota_exceeded": lambda w: w.keyed.post(
        "/v1/jobs", json={"n": 6}, headers=owners.header("small")
    ),
    "POST /v1/jobs 503 no_worker": _strictly,
    "POST /v1/jobs 507 storage_full": lambda w: w.full(lambda: w.client.post("/v1/jobs", json={})),
    "GET /v1/jobs/{job_id} 200": lambda w: w.client.get(f"/v1/jobs/{w.job()}"),
    "GET /v1/jobs/{job_id} 304": lambda w: _again(w, f"/v1/jobs/{w.finished()}"),
    "POST /v1/jobs/{job_id}/cancel 202": lambda w: w.client.post(f"/v1/jobs/{w.job()}/cancel"),
    "POST /v1/jobs/{job_id}/cancel 200": lambda w: w.client.post(f"/v1/jobs/{w.finished()}/cancel"),
    "POST /v1/jobs/{job_id}/cancel 507 storage_full": lambda w: _cancel_when_full(w),
    "GET /v1/jobs/{job_id}/images/{index}.png 200": lambda w: w.client.get(
        f"/v1/jobs/{w.finished()}/images/0.png"
    ),
    "GET /v1/jobs/{job_id}/images/{index}.png 304": lambda w: _again(
        w, f"/v1/jobs/{w.finished()}/images/0.png"
    ),
    "GET /v1/jobs/{job_id}/grid.png 200": lambda w: w.client.get(
        f"/v1/jobs/{w.finished()}/grid.png"
    ),
    "GET /v1/jobs/{job_id}/preview.png 200": _seen,
    "GET /v1/models 200": lambda w: w.client.get("/v1/models"),
    "GET /v1/models/{name} 200": lambda w: w.client.get("/v1/models/tiny"),
    "GET /v1/models/{name} 404 model_not_found": lambda w: w.client.get("/v1/models/nope"),
    "GET /v1/stats 200": lambda w: w.client.get("/v1/stats"),
    "GET /metrics 200": lambda w: w.client.get("/metrics"),
    "GET /livez 200": lambda w: w.client.get("/livez"),
    "GET /readyz 200": lambda w: w.client.get("/readyz"),
    "GET /readyz 503 no_worker": _while_nobody_works,
}


def _cancel_when_full(world: World) -> Response:
    job_id = world.job()
    return world.full(lambda: world.client.post(f"/v1/jobs/{job_id}/cancel"))
