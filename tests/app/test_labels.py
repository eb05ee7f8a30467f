"""Jobs for a model that was trained by class."""

from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from tests.app.checks import pointers, problem
from tests.app.played_worker import TINY, PlayedWorker


@pytest.fixture(autouse=True)
def classes(redis: Redis) -> PlayedWorker:
    """One that serves `classes`, of a shirt and a shoe."""
    model = TINY.model_copy(update={"name": "classes", "labels": ("shirt", "shoe")})
    played = PlayedWorker(redis, model=model)
    played.announce()
    return played


@pytest.mark.parametrize(
    ("asked", "labels", "guidance"),
    [
        ({"labels": ["shoe"], "n": 3}, ["shoe"], 1.0),
        ({"labels": [1]}, ["shoe"], 1.0),
        ({"labels": ["shirt", 1, "shirt"], "n": 3}, ["shirt", "shoe", "shirt"], 1.0),
        ({"labels": ["shoe"], "guidance": 2}, ["shoe"], 2.0),
        ({"labels": ["shoe"], "guidance": 0.0}, ["shoe"], 0.0),
        ({}, None, None),
    ],
)
def test_labels_are_resolved_to_names(
    client: TestClient, asked: dict[str, Any], labels: Any, guidance: Any
) -> None:
    request = client.post("/v1/jobs", json=asked).json()["request"]
    assert (request["labels"], request["guidance"]) == (labels, guidance)
    again = client.post("/v1/jobs", json=request).json()["request"]
    assert again == request


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"labels": ["hat"]}, "/labels/0"),
        ({"labels": ["shoe", "hat"], "n": 2}, "/labels/1"),
        ({"labels": [2]}, "/labels/0"),
        ({"labels": [-1]}, "/labels/0"),
        ({"labels": ["1"]}, "/labels/0"),
        ({"labels": ["shoe", "shirt"]}, "/labels"),
        ({"labels": ["shoe", "shirt"], "n": 3}, "/labels"),
        ({"guidance": 2.0}, "/guidance"),
    ],
)
def test_a_label_there_is_none_of_is_refused(
    client: TestClient, redis: Redis, asked: dict[str, Any], pointer: str
) -> None:
    before = set(redis.keys())
    body = problem(client.post("/v1/jobs", json=asked), 422, "invalid_request")
    assert pointers(body) == [pointer]
    assert set(redis.keys()) == before


@pytest.fixture
def by_class_alone(redis: Redis, classes: PlayedWorker) -> None:
    """The same model, with nothing to draw where no class is asked for."""
    needed = classes.model.model_copy(update={"labels_needed": True})
    PlayedWorker(redis, model=needed).announce()


@pytest.mark.usefixtures("by_class_alone")
@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "/labels"),
        ({"labels": ["shoe"], "guidance": 2.0}, "/guidance"),
        ({"labels": ["shoe"], "guidance": 0.0}, "/guidance"),
    ],
)
def test_a_model_without_a_class_for_none_wants_labels_and_no_guidance(
    client: TestClient, asked: dict[str, Any], pointer: str
) -> None:
    body = problem(client.post("/v1/jobs", json=asked), 422, "invalid_request")
    assert pointers(body) == [pointer]
    detail = body["errors"][0]["detail"]
    assert detail.startswith('classes has no class for "none"')
    assert client.get("/v1/models/classes").json()["labels_needed"]


@pytest.mark.usefixtures("by_class_alone")
@pytest.mark.parametrize("asked", [{"labels": ["shoe"]}, {"labels": [1], "guidance": 1}])
def test_such_a_model_draws_by_class(client: TestClient, asked: dict[str, Any]) -> None:
    assert client.post("/v1/jobs", json=asked).status_code == 202


def test_an_unknown_label_is_told_which_are_known(client: TestClient) -> None:
    body = client.post("/v1/jobs", json={"labels": ["hat"]}).json()
    assert "shirt, shoe" in body["errors"][0]["detail"]


def test_a_model_tells_its_labels(client: TestClient) -> None:
    assert client.get("/v1/models/classes").json()["labels"] == ["shirt", "shoe"]
