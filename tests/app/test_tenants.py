"""Two tenants never see each other, whatever is asked of whichever route."""

from typing import Any, cast

import pytest
from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from tests.app import owners
from tests.app.checks import problem
from tests.app.operations import Operation, operations
from tests.app.played_worker import PlayedWorker
from tests.app.provocations import UNKNOWN

OF_JOBS = [each for each in operations() if "{job_id}" in each.path]
OF_DELIVERIES = [each for each in operations() if "{delivery_id}" in each.path]
HOOK = {"url": "https://example.org/hook"}


def ask(client: TestClient, name: str, operation: Operation, job_id: str) -> Response:
    return client.request(
        operation.method,
        operation.url(job_id),
        headers=owners.header(name),
        **operation.body(),
    )


@pytest.fixture
def annas(keyed: TestClient, worker: PlayedWorker) -> str:
    """A job of Anna's, finished, and its end to be told."""
    response = keyed.post("/v1/jobs", json={"webhook": HOOK}, headers=owners.header("anna"))
    job_id = cast(str, response.json()["id"])
    worker.finish(job_id)
    return job_id


@pytest.mark.parametrize("operation", OF_JOBS + OF_DELIVERIES, ids=str)
def test_a_foreign_job_looks_like_one_that_never_was(
    keyed: TestClient, redis: Redis, annas: str, operation: Operation
) -> None:
    before = redis.dump(keys.job(annas))
    foreign = ask(keyed, "bert", operation, annas)
    unknown = ask(keyed, "bert", operation, UNKNOWN)
    code = "job_not_found" if "{job_id}" in operation.path else "delivery_not_found"
    problem(foreign, 404, code)
    assert foreign.text.replace(annas[4:], UNKNOWN[4:]) == unknown.text
    assert redis.dump(keys.job(annas)) == before
    own = ask(keyed, "anna", operation, annas)
    assert (own.status_code, _code(own)) != (404, code)


def _code(response: Response) -> str | None:
    is_problem = response.headers.get("content-type") == "application/problem+json"
    return response.json()["code"] if is_problem else None


@pytest.mark.parametrize("operation", OF_JOBS, ids=str)
def test_a_foreign_job_that_is_gone_never_was_either(
    keyed: TestClient, redis: Redis, annas: str, operation: Operation
) -> None:
    redis.delete(keys.job(annas))
    problem(ask(keyed, "anna", operation, annas), 410, "expired")
    problem(ask(keyed, "bert", operation, annas), 404, "job_not_found")


@pytest.mark.parametrize("name", ["root", "bert"])
def test_a_foreign_image_is_nothing_to_start_from(keyed: TestClient, annas: str, name: str) -> None:
    def vary(job_id: str) -> Response:
        image: dict[str, Any] = {"job": job_id, "index": 0}
        body = {"task": "variations", "t": 500, "image": image}
        return keyed.post("/v1/jobs", json=body, headers=owners.header(name))

    foreign = vary(annas)
    problem(foreign, 422, "invalid_image")
    assert foreign.text.replace(annas, UNKNOWN) == vary(UNKNOWN).text


def test_a_wait_for_a_foreign_job_ends_at_once(keyed: TestClient, annas: str) -> None:
    headers = owners.header("bert") | {"Prefer": "wait=60"}
    problem(keyed.get(f"/v1/jobs/{annas}", headers=headers), 404, "job_not_found")


def test_without_keys_nobody_sees_what_was_made_with_one(client: TestClient, annas: str) -> None:
    problem(client.get(f"/v1/jobs/{annas}"), 404, "job_not_found")
