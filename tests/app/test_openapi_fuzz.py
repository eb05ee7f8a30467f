"""Schemathesis reads the OpenAPI document and holds a running service to it.

Valid and broken requests of every operation, many of them about jobs that are there: no 5xx, no
status, header, body or content type that the document does not tell, nothing accepted that it
forbids. API_FUZZ=2000 sends more: `make nightly`.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from httpx2 import Client
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests.app import owners
from tests.app.api_process import ApiProcess
from tests.app.operations import DOCUMENT, Operation, operations
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer

OPERATIONS = list(operations())
CASES = int(os.environ.get("API_FUZZ", "200"))
EACH = -(-CASES // len(OPERATIONS))
KEY = owners.header("root")
# What no schema can say (labels of an unconditional model, a token of another list) is a 422, and a
# range beyond the end of a file a 416.
ACCEPTED = ["2xx", "304", "404", "416", "422"]
ACCEPTANCE = {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}
SCHEMA = schemathesis.openapi.from_dict(
    DOCUMENT, config=schemathesis.Config.from_dict({"checks": ACCEPTANCE})
)


@pytest.fixture(scope="module")
def url(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service with keys: one that has none cannot show that it refuses who lacks one."""
    keys_file = owners.write(tmp_path_factory.mktemp("keys") / "keys.toml")
    environment = {"APP_KEYS_FILE": str(keys_file)}
    with ApiProcess.start(redis_server.url, environment=environment) as api:
        yield api.url


def done_and_waiting(url: str, worker: PlayedWorker) -> list[str]:
    """A job of each kind."""
    with Client(base_url=url, headers=KEY) as client:
        done, waiting = (client.post("/v1/jobs", json={"n": 2}).json()["id"] for _ in range(2))
    worker.finish(done)
    return [done, waiting]


def about(case: Case[Any], job_id: str | None) -> Case[Any]:
    """The same of a job that is there, where it is of any."""
    if job_id is not None and "job_id" in case.path_parameters:
        case.path_parameters["job_id"] = job_id
    return case


def lists_in_query(operation: Operation) -> set[str]:
    """Names of parameters."""
    described = DOCUMENT["paths"][operation.path][operation.method.lower()].get("parameters", [])
    return {p["name"] for p in described if p["in"] == "query" and "array" in str(p["schema"])}


def can_be_told(case: Case[Any], lists: set[str]) -> bool:
    """Whether what is wrong with a query shows in it: there, an empty list of whatever name is
    nothing at all, and one value looks like a list of it."""
    told = all(isinstance(case.query.get(name, []), list) for name in lists)
    return told and [] not in case.query.values()


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_a_service_does_what_its_document_says(
    operation: Operation, url: str, worker: PlayedWorker
) -> None:
    known = done_and_waiting(url, worker)
    if operation.is_endless:
        known.pop()  # of which it would tell until it is done
    lists = lists_in_query(operation)
    described = SCHEMA[operation.path][operation.method]
    valid = st.builds(about, described.as_strategy(), st.sampled_from([None, *known]))
    broken = described.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(valid, broken))
    def ask(case: Case[Any]) -> None:
        assume(can_be_told(case, lists))
        response = case.call(base_url=url, headers=KEY)
        case.validate_response(response, headers=KEY)

    ask()
