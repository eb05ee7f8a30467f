"""Every answer in the OpenAPI document can be had, and no other ever is."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx2 import Request, Response
from redis import Redis
from starlette.testclient import TestClient

from tests.app import owners
from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.app.operations import DOCUMENT, Operation, Outcome, operations, outcomes
from tests.app.played_worker import PlayedWorker
from tests.app.provocations import ANY, OWN, UNKNOWN
from tests.app.world import World
from tests.conftest import RedisServer

IMPATIENT = {"APP_BODY_TIMEOUT_S": "0.2"}
HALF_A_BODY = (
    b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: 1000\r\n\r\n{"
)


@pytest.fixture
def world(
    redis_server: RedisServer,
    redis: Redis,
    worker: PlayedWorker,
    client: TestClient,
    keyed: TestClient,
) -> World:
    def slow(path: str) -> Response:
        with ApiProcess.start(redis_server.url, environment=IMPATIENT) as api:
            return half_a_body(api.url, path)

    return World(redis_server, redis, worker, client, keyed, slow)


def half_a_body(url: str, path: str = "/v1/jobs") -> Response:
    """What is answered to it, until the server hangs up."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port or 0), 60) as connection:
        connection.sendall(HALF_A_BODY % path.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name, value.strip()) for name, _, value in (x.partition(b":") for x in lines)]
    request = Request("POST", f"{url}{path}")
    return Response(int(status.split()[1]), headers=headers, content=body, request=request)


def provocation(outcome: Outcome) -> Callable[[World], Response] | None:
    own, of_any = OWN.get(str(outcome)), ANY.get(outcome.code or "")
    if own is None and of_any is not None:
        return lambda world: of_any(world, outcome.operation)
    return own


@pytest.mark.parametrize("outcome", list(outcomes()), ids=str)
def test_a_documented_answer_can_be_had(world: World, outcome: Outcome) -> None:
    provoke = provocation(outcome)
    assert provoke, f"nothing in tests/app/provocations.py leads to {outcome}"
    response = provoke(world)
    if outcome.code is not None:
        problem(response, outcome.status, outcome.code)
    assert response.status_code == outcome.status
    assert_as_described(outcome, response)


def assert_as_described(outcome: Outcome, response: Response) -> None:
    """The kind of body that the document names, and the headers."""
    operation = outcome.operation
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    entry: dict[str, Any] = described[str(outcome.status)]
    kind = response.headers.get("content-type", "").partition(";")[0]
    if response.content:
        assert kind in entry["content"]
    if outcome.code in ("rate_limited", "queue_full", "quota_exceeded", "redis_unavailable"):
        assert int(response.headers["retry-after"]) > 0
        assert "Retry-After" in entry["headers"]


def test_no_provocation_is_for_an_answer_that_nobody_promises() -> None:
    assert set(OWN) <= set(map(str, outcomes()))


# Of these an event stream would tell until they are done.
NOT_DONE = {"image_not_found", "a queued job", "a running job"}
ATTEMPTS: dict[str, Callable[[World, Operation], Response]] = {
    **ANY,
    "a bad id": lambda w, o: w.ask(o, "job_1"),
    "an id with a line's end": lambda w, o: w.ask(o, f"{UNKNOWN}%0A"),
    "a queued job": lambda w, o: w.ask(o, w.job()),
    "a running job": lambda w, o: w.ask(o, w.worker.begin(w.job()).job_id),
    "a finished job": lambda w, o: w.ask(o, w.finished()),
    "no query value": lambda w, o: w.ask(o, w.finished(), params={"columns": "x"}),
    "odd preferences": lambda w, o: w.ask(
        o, w.finished(), headers={"Prefer": "wait=x, ,=;", "If-None-Match": ",*,"}
    ),
    "not JSON": lambda w, o: w.ask(o, w.finished(), json=None, content=b"\xff{"),
    "somebody else's": lambda w, o: w.keyed.request(
        o.method, o.url(w.finished()), headers=owners.header("bert"), **o.body()
    ),
    "a full Redis": lambda w, o: w.full(lambda: w.ask(o, UNKNOWN)),
}


@pytest.mark.parametrize("operation", list(operations()), ids=str)
def test_nothing_is_answered_that_the_document_does_not_tell(
    world: World, operation: Operation
) -> None:
    for name, attempt in ATTEMPTS.items():
        if operation.is_endless and name in NOT_DONE:
            continue
        response = attempt(world, operation)
        assert response.status_code in operation.statuses, name
        world.redis.delete("denoised:bucket:hasty:reads", "denoised:bucket:hasty:writes")
        world.worker.announce()
