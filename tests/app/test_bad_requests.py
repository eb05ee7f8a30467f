"""Whatever is wrong with a request: where, what code, and that nothing was queued."""

import json
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from protocol.shard_queue import queue_names
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker

JSON = {"Content-Type": "application/json"}

VARIATIONS = {"task": "variations", "image": "AAAA", "t": 500}
INTERPOLATE = {"task": "interpolate", "image_a": "AAAA", "image_b": "AAAA", "t": 500, "n": 2}

REFUSED: list[tuple[Any, str]] = [
    ({"n": 0}, "/n"),
    ({"n": -1}, "/n"),
    ({"n": 100_001}, "/n"),
    ({"n": 1.0}, "/n"),
    ({"n": "1"}, "/n"),
    ({"n": True}, "/n"),
    ({"n": None}, "/n"),
    ({"n": [1]}, "/n"),
    ({"seed": -1}, "/seed"),
    ({"seed": 2**53}, "/seed"),
    ({"seed": 42.0}, "/seed"),
    ({"seed": "42"}, "/seed"),
    ({"seed": False}, "/seed"),
    ({"first_index": -1}, "/first_index"),
    ({"first_index": 2**32}, "/first_index"),
    ({"first_index": 2**32 - 1, "n": 2}, "/first_index"),
    ({"first_index": True}, "/first_index"),
    ({"first_index": None}, "/first_index"),
    ({"task": "likelihood"}, "/task"),
    ({"task": None}, "/task"),
    ({"model": "nope"}, "/model"),
    ({"model": ""}, "/model"),
    ({"model": 1}, "/model"),
    ({"sampler": "euler"}, "/sampler/name"),
    ({"sampler": "DDPM"}, "/sampler/name"),
    ({"sampler": {}}, "/sampler/name"),
    ({"sampler": {"name": None}}, "/sampler/name"),
    ({"sampler": 1}, "/sampler"),
    ({"sampler": True}, "/sampler"),
    ({"sampler": ["ddpm"]}, "/sampler"),
    ({"sampler": {"name": "ddim", "steps": 0}}, "/sampler/steps"),
    ({"sampler": {"name": "ddim", "steps": 1001}}, "/sampler/steps"),
    ({"sampler": {"name": "ddpm", "steps": 1001}}, "/sampler/steps"),
    ({"sampler": {"name": "ddim", "steps": "10"}}, "/sampler/steps"),
    ({"sampler": {"name": "ddim", "steps": 10.0}}, "/sampler/steps"),
    ({"sampler": {"name": "ddim", "steps": True}}, "/sampler/steps"),
    ({"sampler": {"name": "ddim", "eta": -0.1}}, "/sampler/eta"),
    ({"sampler": {"name": "ddim", "eta": 1.1}}, "/sampler/eta"),
    ({"sampler": {"name": "ddim", "eta": "0"}}, "/sampler/eta"),
    ({"sampler": {"name": "ddim", "eta": True}}, "/sampler/eta"),
    ({"sampler": {"name": "ddim", "eta": float("nan")}}, "/sampler/eta"),
    ({"sampler": {"name": "ddpm", "eta": 0.0}}, "/sampler/eta"),
    ({"sampler": {"name": "ddim", "variance": "fixed_small"}}, "/sampler/variance"),
    ({"sampler": {"name": "ddpm", "variance": "learned"}}, "/sampler/variance"),
    (
        {"sampler": {"name": "ddpm", "steps": 999, "variance": "fixed_large"}},
        "/sampler/variance",
    ),
    ({"sampler": {"name": "ddpm", "clip": 0}}, "/sampler/clip"),
    ({"sampler": {"name": "ddpm", "clip": -1.0}}, "/sampler/clip"),
    ({"sampler": {"name": "ddpm", "clip": True}}, "/sampler/clip"),
    ({"sampler": {"name": "ddpm", "clip": float("inf")}}, "/sampler/clip"),
    ({"sampler": {"name": "ddpm", "spacing": "karras"}}, "/sampler/spacing"),
    ({"sampler": {"name": "dpmpp-2m", "eta": 0.0}}, "/sampler/eta"),
    ({"sampler": {"name": "dpmpp-2m", "variance": "fixed_small"}}, "/sampler/variance"),
    ({"sampler": {"name": "dpmpp-2m", "steps": 1001}}, "/sampler/steps"),
    ({"sampler": {"name": "ddpm", "order": 2}}, "/sampler/order"),
    ({"output": None}, "/output"),
    ({"output": {"format": "webp"}}, "/output/format"),
    ({"output": {"scale": 0}}, "/output/scale"),
    ({"output": {"scale": 17}}, "/output/scale"),
    ({"output": {"scale": True}}, "/output/scale"),
    ({"output": {"scale": 2.0}}, "/output/scale"),
    ({"output": {"quality": 9}}, "/output/quality"),
    ({"priority": "urgent"}, "/priority"),
    ({"priority": 1}, "/priority"),
    ({"priority": None}, "/priority"),
    ({"timeout_s": 0}, "/timeout_s"),
    ({"timeout_s": 604_801}, "/timeout_s"),
    ({"timeout_s": 1.5}, "/timeout_s"),
    ({"timeout_s": True}, "/timeout_s"),
    ({"ttl_s": 59}, "/ttl_s"),
    ({"ttl_s": 2_592_001}, "/ttl_s"),
    ({"ttl_s": None}, "/ttl_s"),
    ({"metadata": []}, "/metadata"),
    ({"metadata": None}, "/metadata"),
    ({"metadata": {"k": "x" * 1017}}, "/metadata"),
    ({"metadata": {"k": "é" * 509}}, "/metadata"),
    ({"metadata": {"k": [float("nan")]}}, "/metadata"),
    ({"metadata": {"k": "\ud800"}}, "/metadata"),
    ({"labels": ["sneaker"]}, "/labels"),
    ({"labels": "sneaker"}, "/labels"),
    ({"labels": []}, "/labels"),
    ({"labels": [1.5]}, "/labels/0"),
    ({"labels": [0, True]}, "/labels/1"),
    ({"labels": [None]}, "/labels/0"),
    ({"labels": [0] * 1001, "n": 1001}, "/labels"),
    ({"labels": [0], "guidance": -1}, "/guidance"),
    ({"labels": [0], "guidance": 101.0}, "/guidance"),
    ({"labels": [0], "guidance": "2"}, "/guidance"),
    ({"guidance": 1.0}, "/guidance"),
    ({"webhook": "https://example.org"}, "/webhook"),
    ({"webhook": {}}, "/webhook/url"),
    ({"webhook": {"url": ""}}, "/webhook/url"),
    ({"webhook": {"url": "example.org"}}, "/webhook/url"),
    ({"webhook": {"url": "http://example.org"}}, "/webhook/url"),
    ({"webhook": {"url": "ftp://example.org"}}, "/webhook/url"),
    ({"webhook": {"url": "https://"}}, "/webhook/url"),
    ({"webhook": {"url": "https://user:secret@example.org"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.org:22"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.org:99999"}}, "/webhook/url"),
    ({"webhook": {"url": "https://localhost"}}, "/webhook/url"),
    ({"webhook": {"url": "https://169.254.169.254/"}}, "/webhook/url"),
    ({"webhook": {"url": "https://[::1]/"}}, "/webhook/url"),
    ({"webhook": {"url": "https://[::1/"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.org/\n"}}, "/webhook/url"),
    ({"webhook": {"url": "https://bücher.example"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.org/#a"}}, "/webhook/url"),
    ({"webhook": {"url": f"https://example.org/{'a' * 2029}"}}, "/webhook/url"),
    ({"webhook": {"url": "https://example.org", "events": []}}, "/webhook/events"),
    ({"webhook": {"url": "https://example.org", "events": ["done"]}}, "/webhook/events/0"),
    ({"webhook": {"url": "https://example.org", "secret": "x"}}, "/webhook/secret"),
    ({"t": 500}, "/t"),
    ({"image": "AAAA"}, "/image"),
    ({"image_a": "AAAA"}, "/image_a"),
    ({"lambdas": [0.5]}, "/lambdas"),
    ({**VARIATIONS, "t": None}, "/t"),
    ({**VARIATIONS, "t": 0}, "/t"),
    ({**VARIATIONS, "t": 1001}, "/t"),
    ({**VARIATIONS, "t": 500.0}, "/t"),
    ({**VARIATIONS, "t": True}, "/t"),
    ({**VARIATIONS, "image": None}, "/image"),
    ({**VARIATIONS, "image": 1}, "/image"),
    ({**VARIATIONS, "image": {}}, "/image"),
    ({**VARIATIONS, "image": {"job": f"job_{'0' * 32}"}}, "/image"),
    ({**VARIATIONS, "image": {"index": 0}}, "/image"),
    ({**VARIATIONS, "image": {"png": "AAAA", "job": f"job_{'0' * 32}", "index": 0}}, "/image"),
    ({**VARIATIONS, "image": {"pixels_sha256": "0" * 64}}, "/image"),
    ({**VARIATIONS, "image": {"job": "job_1", "index": 0}}, "/image/job"),
    ({**VARIATIONS, "image": {"job": f"job_{'0' * 32}", "index": -1}}, "/image/index"),
    ({**VARIATIONS, "image": {"url": "https://example.org/0.png"}}, "/image/url"),
    ({**VARIATIONS, "image_a": "AAAA"}, "/image_a"),
    ({**VARIATIONS, "lambdas": [0.5]}, "/lambdas"),
    ({**VARIATIONS, "n": 2, "sampler": "ddim"}, "/sampler/eta"),
    ({**VARIATIONS, "n": 2, "sampler": "dpmpp-2m"}, "/sampler/name"),
    ({**VARIATIONS, "sampler": {"name": "ddpm", "steps": 501}}, "/sampler/steps"),
    (
        {**VARIATIONS, "sampler": {"name": "ddpm", "steps": 499, "variance": "fixed_large"}},
        "/sampler/variance",
    ),
    ({**INTERPOLATE, "t": None}, "/t"),
    ({**INTERPOLATE, "image_b": None}, "/image_b"),
    ({**INTERPOLATE, "image": "AAAA"}, "/image"),
    ({**INTERPOLATE, "n": 1}, "/n"),
    ({"task": "interpolate", "t": 500, "image_a": "AAAA", "image_b": "AAAA"}, "/n"),
    ({**INTERPOLATE, "n": 3, "lambdas": [0.0, 1.0]}, "/n"),
    ({**INTERPOLATE, "first_index": 1}, "/first_index"),
    ({**INTERPOLATE, "lambdas": []}, "/lambdas"),
    ({**INTERPOLATE, "lambdas": [-0.1]}, "/lambdas/0"),
    ({**INTERPOLATE, "lambdas": [0.0, 1.1]}, "/lambdas/1"),
    ({**INTERPOLATE, "lambdas": [True]}, "/lambdas/0"),
    ({**INTERPOLATE, "lambdas": [0.5] * 1001}, "/lambdas"),
    ({"a/b~c": 1}, "/a~1b~0c"),
    ({"\ud800": 1}, ""),
    ({"model": "\ud800"}, "/model"),
    ([], ""),
    ("{}", ""),
    (1, ""),
    (None, ""),
]

MALFORMED = [
    b"",
    b"{",
    b"{'n': 1}",
    b'{"n": 1,}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"n": ' + b"9" * 5000 + b"}",
]


@pytest.fixture(autouse=True)
def _nothing_is_queued(worker: PlayedWorker, redis: Redis) -> Any:
    """Whatever a test of this file sends, Redis stays as it is."""
    before = set(redis.keys())
    yield
    assert set(redis.keys()) == before
    assert all(redis.llen(f"rq:queue:{name}") == 0 for name in queue_names("tiny"))


@pytest.mark.parametrize(("body", "pointer"), REFUSED, ids=lambda value: ascii(value)[:60])
def test_a_bad_field_is_pointed_at(client: TestClient, body: Any, pointer: str) -> None:
    response = client.post("/v1/jobs", content=json.dumps(body), headers=JSON)
    assert pointers(problem(response, 422, "invalid_request")) == [pointer]


def test_everything_wrong_is_said_at_once(client: TestClient) -> None:
    response = client.post("/v1/jobs", json={"n": 0, "ttl_s": 1, "sampler": {"name": "x"}})
    body = problem(response, 422, "invalid_request")
    assert sorted(pointers(body)) == ["/n", "/sampler/name", "/ttl_s"]


def test_what_only_the_model_can_tell_is_said_at_once_too(client: TestClient) -> None:
    sampler = {"name": "ddim", "steps": 2000, "variance": "fixed_small"}
    response = client.post("/v1/jobs", json={"first_index": 2**32 - 1, "n": 5, "sampler": sampler})
    body = problem(response, 422, "invalid_request")
    assert pointers(body) == ["/first_index", "/sampler/steps", "/sampler/variance"]
    assert "1000" in body["errors"][1]["detail"]


def test_an_unknown_sampler_is_told_what_is_offered(client: TestClient) -> None:
    body = client.post("/v1/jobs", json={"sampler": "euler"}).json()
    assert "ddpm" in body["errors"][0]["detail"]
    assert "ddim" in body["errors"][0]["detail"]


def test_an_unknown_model_is_told_which_are_known(client: TestClient) -> None:
    body = client.post("/v1/jobs", json={"model": "nope"}).json()
    assert "tiny" in body["errors"][0]["detail"]


def test_a_thousand_unknown_fields_are_not_all_listed(client: TestClient) -> None:
    response = client.post("/v1/jobs", json={f"f{i}": i for i in range(1000)})
    assert len(problem(response, 422, "invalid_request")["errors"]) == 20


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: ascii(body[:12]))
def test_what_is_not_json_is_malformed(client: TestClient, body: bytes) -> None:
    problem(client.post("/v1/jobs", content=body, headers=JSON), 400, "malformed_json")


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None],
)
def test_only_json_is_taken(client: TestClient, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    response = client.post("/v1/jobs", content=b"{}", headers=headers)
    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("query", ["dryrun=true", "wait=5"])
def test_a_query_nobody_reads_is_refused(client: TestClient, query: str) -> None:
    response = client.post(f"/v1/jobs?{query}", json={})
    name = query.partition("=")[0]
    assert pointers(problem(response, 422, "invalid_request")) == [f"/{name}"]


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    response = client.post("/v1/jobs", content=b" " * (8 * 2**20 + 1), headers=JSON)
    problem(response, 413, "body_too_large")


def test_a_body_at_the_limit_is_read(client: TestClient) -> None:
    response = client.post("/v1/jobs", content=b" " * (8 * 2**20 - 1) + b"[", headers=JSON)
    problem(response, 400, "malformed_json")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/", "not_found"),
        ("/v1", "not_found"),
        ("/v1/jobs/", "not_found"),
        ("/v1/nothing", "not_found"),
        ("/v1/jobs/job_1", "job_not_found"),
        (f"/v1/jobs/job_{'A' * 32}", "job_not_found"),
        (f"/v1/jobs/job_{'0' * 32}", "job_not_found"),
        (f"/v1/jobs/job_{'0' * 32}%0A", "job_not_found"),
        (f"/v1/jobs/job_{'0' * 32}/grid.png", "job_not_found"),
        (f"/v1/jobs/job_{'0' * 32}/images/0.png", "job_not_found"),
        (f"/v1/jobs/job_{'0' * 32}/images/0", "not_found"),
        (f"/v1/jobs/job_{'0' * 32}/images/x.png", "image_not_found"),
        (f"/v1/jobs/job_{'0' * 32}/images/-1.png", "image_not_found"),
        (f"/v1/jobs/job_{'0' * 32}/images/{'9' * 5000}.png", "image_not_found"),
        ("/v1/models/nope", "model_not_found"),
        ("/v1/models/NOPE", "model_not_found"),
    ],
    ids=lambda value: value[-24:],
)
def test_what_is_not_there_says_what_it_is_not(client: TestClient, path: str, code: str) -> None:
    response = client.get(path)
    body = problem(response, 404, code)
    assert "errors" not in body


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", "GET, POST"),
        ("PUT", "/v1/jobs", "GET, POST"),
        ("POST", f"/v1/jobs/job_{'0' * 32}", "DELETE, GET"),
        ("POST", f"/v1/jobs/job_{'0' * 32}/images/0.png", "GET, HEAD"),
        ("GET", f"/v1/jobs/job_{'0' * 32}/cancel", "POST"),
        ("POST", "/v1/models", "GET"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


def test_a_job_to_cancel_that_never_was_is_not_found(client: TestClient) -> None:
    problem(client.post(f"/v1/jobs/job_{'0' * 32}/cancel"), 404, "job_not_found")
