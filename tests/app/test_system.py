"""Models, health, the OpenAPI document, and what the process does not load."""

import json
import subprocess
import sys
from typing import Any

from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from protocol.messages import WorkerLoad
from protocol.registry import START_FAULT_TTL_S, Registry
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker
from tests.conftest import ROOT

METHODS = {"get", "post", "put", "delete", "patch"}


def test_a_model_tells_what_it_is_and_who_serves_it(
    client: TestClient, worker: PlayedWorker
) -> None:
    (model,) = client.get("/v1/models").json()["data"]
    assert model == client.get("/v1/models/tiny").json()
    assert (model["name"], model["image_size_px"], model["channels"]) == ("tiny", 8, 1)
    assert [sampler["name"] for sampler in model["samplers"]] == ["ddpm", "ddim", "dpmpp-2m"]
    assert model["card"] == {"license": "CC0"}
    assert [live["name"] for live in model["workers"]] == ["played"]
    worker.leave()
    assert client.get("/v1/models/tiny").json()["workers"] == []


def with_news(said: Any) -> Any:
    """What a newer worker might say: more, at every level."""
    match said:
        case dict():
            return {"news": 1, **{name: with_news(value) for name, value in said.items()}}
        case list():
            return [with_news(value) for value in said]
    return said


def test_what_a_newer_worker_says_beyond_is_nobodys_trouble(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    load = WorkerLoad(rows_running=1, rows_waiting=2, width=16)
    old = worker.registry.live_workers()[0]
    worker.registry.heartbeat(old.model_copy(update={"load": load}))
    for key in (keys.models(), keys.worker_infos()):
        for name, said in redis.hgetall(key).items():
            redis.hset(key, name, json.dumps(with_news(json.loads(said))))
    assert client.post("/v1/jobs", json={}).status_code == 202
    (model,) = client.get("/v1/models").json()["data"]
    assert [set(sampler) & {"name", "news"} for sampler in model["samplers"]] == [{"name"}] * 3
    (stats,) = client.get("/v1/stats").json()["workers"]
    assert stats["load"] == load.model_dump()


def test_ready_is_with_a_worker_and_alive_is_always(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    worker.leave()
    body = problem(client.get("/readyz"), 503, "no_worker")
    assert "worker" in body["detail"]
    assert client.get("/livez").json() == {"status": "alive"}


def test_not_ready_tells_why_a_worker_could_not_start(client: TestClient, redis: Redis) -> None:
    Registry(redis).cannot_start("tiny: config.json: missing")
    body = problem(client.get("/readyz"), 503, "no_worker")
    assert body["detail"].endswith("One could not start: tiny: config.json: missing")
    assert 0 < redis.ttl(keys.start_fault()) <= START_FAULT_TTL_S


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_error_in_the_document_is_a_problem(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (name, status)
                assert "`" in response["description"], (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_document_refers_to_nothing_it_lacks(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"Job", "JobSubmission", "Problem", "FieldError"} <= set(schemas)
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in _references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + _references(list(node.values()))


def test_answers_may_have_fields_more_and_requests_may_not(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    closed = {name for name, each in schemas.items() if each.get("additionalProperties") is False}
    assert {"JobSubmission", "SamplerChoice", "OutputChoice"} <= closed
    assert not {"Job", "JobRequest", "Output", "SamplerSpec", "SourceImage", "Image"} & closed


def test_every_operation_says_what_it_is(client: TestClient) -> None:
    for name, operation in operations(client.get("/openapi.json").json()):
        assert operation["summary"], name
        assert operation["description"], name


def test_the_document_tells_of_events_and_of_keys_and_of_dry_runs(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    paths = document["paths"]
    listening = paths["/v1/jobs/{job_id}/events"]["get"]
    assert list(listening["responses"]["200"]["content"]) == ["text/event-stream"]
    assert {"204", "404", "410"} <= set(listening["responses"])
    assert {"preview", "Last-Event-ID"} <= _parameters(listening)
    submitting = paths["/v1/jobs"]["post"]
    assert {"dry_run", "Idempotency-Key", "Prefer"} <= _parameters(submitting)
    assert "Idempotency-Replayed" in submitting["responses"]["202"]["headers"]
    assert list(submitting["responses"]["202"]["content"]) == ["application/json"]
    codes = [
        list(r["content"].values())[0].get("examples", {}) for r in submitting["responses"].values()
    ]
    assert {"malformed_key", "idempotency_key_reused"} <= {code for part in codes for code in part}
    assert {"DryRun", "Preview"} <= set(document["components"]["schemas"])


def _parameters(operation: dict[str, Any]) -> set[str]:
    return {parameter["name"] for parameter in operation["parameters"]}


def test_importing_the_app_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, app.__main__; print(*{'torch', 'numpy', 'models', 'worker'} & {*sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
