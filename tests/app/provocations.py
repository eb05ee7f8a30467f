"""For every answer the document promises, the request that gets it.

A new route adds its successes and its own errors to OWN; what every route can be refused for is in
ANY already. A row is a function of the world, and, in ANY, of the operation.
"""

from collections.abc import Callable
from pathlib import Path

from httpx2 import Response
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from protocol import keys
from protocol.webhook_store import WebhookStore, of_job
from tests.app import owners, submissions
from tests.app.operations import Operation, outcomes
from tests.app.world import World

UNKNOWN = f"job_{'0' * 32}"


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
    "delivery_not_found": lambda world, operation: world.ask(operation, world.finished()),
    "expired": lambda world, operation: world.ask(operation, world.gone()),
}


def _again(world: World, url: str) -> Response:
    """With the ETag that the first answer had."""
    etag = world.client.get(url).headers["etag"]
    return world.client.get(url, headers={"If-None-Match": etag})


def _while_nobody_works(world: World) -> Response:
    world.worker.leave()
    return world.client.get("/readyz")


def _seen(world: World) -> Response:
    """A preview, which a worker has drawn."""
    job_id = world.job()
    world.worker.begin(job_id)
    world.redis.hset(keys.previews(job_id), "0", b"a PNG")
    return world.client.get(f"/v1/jobs/{job_id}/preview.png")


def _part(world: World, name: str, byte_range: str) -> Response:
    headers = {"Range": f"bytes={byte_range}"}
    return world.client.get(f"/v1/jobs/{world.finished()}/{name}", headers=headers)


def _delivery(world: World) -> str:
    return f"/v1/webhooks/{of_job(world.told())}"


def _replayed_while_sent(world: World) -> Response:
    url = _delivery(world)
    WebhookStore(world.redis).claim(10, lease_s=60)
    return world.client.post(f"{url}/replay")


def _replayed_without_disk(world: World) -> Response:
    """A full Redis would do it: the first thing that is written makes room."""
    url = _delivery(world)
    return world.without_disk(lambda: world.client.post(f"{url}/replay"))


def _without_disk(world: World, method: str, suffix: str) -> Response:
    """A full Redis would do it: what ends a job needs no room."""
    url = f"/v1/jobs/{world.job()}{suffix}"
    return world.without_disk(lambda: world.client.request(method, url))


def _submissions() -> dict[str, Callable[[World], Response]]:
    """Of each route that queues something."""

    def row(provoke: Callable[[World, str], Response], path: str) -> Callable[[World], Response]:
        return lambda world: provoke(world, path)

    promised = set(map(str, outcomes()))
    return {
        f"POST {path} {outcome}": row(provoke, path)
        for path in submissions.GOOD
        for outcome, provoke in submissions.ROWS.items()
        if f"POST {path} {outcome}" in promised
    }


OWN: dict[str, Callable[[World], Response]] = {
    **_submissions(),
    "GET /v1/jobs/{job_id}/events 200": lambda w: w.client.get(f"/v1/jobs/{w.finished()}/events"),
    "GET /v1/jobs/{job_id}/events 204": lambda w: w.client.get(
        f"/v1/jobs/{w.finished()}/events", headers={"Last-Event-ID": "9999999999999-0"}
    ),
    "GET /v1/jobs/{job_id}/webhook 200": lambda w: w.client.get(f"/v1/jobs/{w.told()}/webhook"),
    "GET /v1/webhooks/failed 200": lambda w: w.client.get("/v1/webhooks/failed"),
    "GET /v1/webhooks/{delivery_id} 200": lambda w: w.client.get(_delivery(w)),
    "POST /v1/webhooks/{delivery_id}/replay 202": lambda w: w.client.post(_delivery(w) + "/replay"),
    "POST /v1/webhooks/{delivery_id}/replay 200": lambda w: _replayed_while_sent(w),
    "POST /v1/webhooks/{delivery_id}/replay 507 storage_full": lambda w: _replayed_without_disk(w),
    "GET /v1/jobs 200": lambda w: w.client.get("/v1/jobs"),
    "GET /v1/jobs/{job_id} 200": lambda w: w.client.get(f"/v1/jobs/{w.job()}"),
    "GET /v1/jobs/{job_id} 304": lambda w: _again(w, f"/v1/jobs/{w.finished()}"),
    "POST /v1/jobs/{job_id}/cancel 202": lambda w: w.client.post(f"/v1/jobs/{w.job()}/cancel"),
    "POST /v1/jobs/{job_id}/cancel 200": lambda w: w.client.post(f"/v1/jobs/{w.finished()}/cancel"),
    "POST /v1/jobs/{job_id}/cancel 507 storage_full": lambda w: _without_disk(w, "POST", "/cancel"),
    "DELETE /v1/jobs/{job_id} 204": lambda w: w.client.delete(f"/v1/jobs/{w.finished()}"),
    "DELETE /v1/jobs/{job_id} 507 storage_full": lambda w: _without_disk(w, "DELETE", ""),
    "GET /v1/jobs/{job_id}/images 200": lambda w: w.client.get(f"/v1/jobs/{w.finished()}/images"),
    "GET /v1/jobs/{job_id}/images/{index}.png 200": lambda w: w.client.get(
        f"/v1/jobs/{w.finished()}/images/0.png"
    ),
    "GET /v1/jobs/{job_id}/images/{index}.png 304": lambda w: _again(
        w, f"/v1/jobs/{w.finished()}/images/0.png"
    ),
    "GET /v1/jobs/{job_id}/images/{index}.png 206": lambda w: _part(w, "images/0.png", "0-9"),
    "GET /v1/jobs/{job_id}/images/{index}.png 416 range_not_satisfiable": lambda w: _part(
        w, "images/0.png", "999999-"
    ),
    "GET /v1/jobs/{job_id}/archive.zip 200": lambda w: w.client.get(
        f"/v1/jobs/{w.finished()}/archive.zip"
    ),
    "GET /v1/jobs/{job_id}/archive.zip 206": lambda w: _part(w, "archive.zip", "0-9"),
    "GET /v1/jobs/{job_id}/archive.zip 304": lambda w: _again(
        w, f"/v1/jobs/{w.finished()}/archive.zip"
    ),
    "GET /v1/jobs/{job_id}/archive.zip 416 range_not_satisfiable": lambda w: _part(
        w, "archive.zip", "999999-"
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
