"""Idempotency-Key: however often a submission is sent, it is one job."""

import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from httpx2 import Client, Response, TransportError
from redis import Redis
from starlette.testclient import TestClient

from app.idempotency import Named
from app.schemas import JobSubmission
from app.submissions import SubmissionService
from protocol import keys
from protocol.webhook_policy import WebhookPolicy
from tests.app.api_process import ApiProcess
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer, until

AT_ONCE = 16
CLIENTS = 8


def post(client: Client, key: str, content: str | None = None, **body: Any) -> Response:
    """A submission under a key; `content` where its bytes matter."""
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    if content is not None:
        return client.post("/v1/jobs", content=content, headers=headers)
    return client.post("/v1/jobs", json=body, headers=headers)


def records(redis: Redis) -> int:
    """How many jobs there are."""
    return sum(1 for _ in redis.scan_iter(f"{keys.job('job_')}{'?' * 32}", count=1000))


def test_the_same_body_under_the_same_key_is_the_same_job(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    first = post(client, "k", n=2)
    assert first.status_code == 202
    assert "idempotency-replayed" not in first.headers
    before = redis.dbsize()
    again = post(client, "k", n=2)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json() == first.json()  # the seed that was drawn is the first one's
    assert again.headers["location"] == first.headers["location"]
    assert redis.dbsize() == before


def test_a_replay_tells_the_job_as_it_is_now(client: TestClient, worker: PlayedWorker) -> None:
    job_id = post(client, "k").json()["id"]
    worker.finish(job_id)
    again = post(client, "k")
    assert (again.status_code, again.json()["status"]) == (202, "succeeded")
    assert "retry-after" not in again.headers
    headers = {"Idempotency-Key": "k", "Prefer": "wait=5"}
    waited = client.post("/v1/jobs", json={}, headers=headers)
    assert (waited.status_code, waited.json()["id"]) == (200, job_id)
    assert waited.headers["idempotency-replayed"] == "true"


def test_a_replay_asks_nothing_that_was_granted_before(
    client: TestClient, worker: PlayedWorker
) -> None:
    """The worker has left, the image it started from is gone: the job is there all the same."""
    first = post(client, "k")
    worker.leave()
    headers = {"Idempotency-Key": "k", "Prefer": "handling=strict"}
    assert client.post("/v1/jobs", json={}, headers=headers).json() == first.json()


def test_neither_whitespace_nor_the_order_of_fields_matters(
    client: TestClient, worker: PlayedWorker
) -> None:
    first = post(client, "k", '{"n":2,"metadata":{"a":1,"b":"\\u00fc"}}')
    again = post(client, "k", ' {"metadata": {"b": "ü", "a": 1},\n "n": 2} ')
    assert again.json() == first.json()


def test_another_body_under_the_same_key_is_refused(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    post(client, "k", n=2)
    before = redis.dbsize()
    body = problem(post(client, "k", n=3), 422, "idempotency_key_reused")
    assert pointers(body) == [""]
    assert redis.dbsize() == before


@pytest.mark.parametrize(
    "mistake",
    [{"n": 0}, {"model": "unknown"}, {"sampler": {"name": "ddim", "steps": 9999}}],
    ids=str,
)
def test_what_was_refused_leaves_its_key_free(
    client: TestClient, worker: PlayedWorker, mistake: dict[str, Any]
) -> None:
    problem(post(client, "k", **mistake), 422, "invalid_request")
    assert post(client, "k").status_code == 202


def test_without_a_key_the_same_body_is_another_job(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    for _ in range(2):
        assert client.post("/v1/jobs", json={}).status_code == 202
    assert records(redis) == 2
    assert not list(redis.scan_iter(keys.idempotency("*", "*")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"abc"', "abc"),
        (r'"a\"b\\c"', r'"a\"b\\c"'),
        ('"two words"', '  "two words"  '),
        ("k" * 255, '"' + "k" * 255 + '"'),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'),
    ],
)
def test_a_key_is_the_same_quoted_or_bare(
    client: TestClient, worker: PlayedWorker, one: str, other: str
) -> None:
    assert post(client, one).json() == post(client, other).json()


@pytest.mark.parametrize(
    "key",
    ["", '""', '"', 'a"b', '"a"b"', r'"a\b"', "two words", "k" * 256, '"a"; b=1', b"\xfc", "a\tb"],
)
def test_a_malformed_key_is_refused_and_nothing_queued(
    client: TestClient, worker: PlayedWorker, redis: Redis, key: str | bytes
) -> None:
    raw = key if isinstance(key, bytes) else key.encode()
    headers = [(b"idempotency-key", raw)]
    problem(client.post("/v1/jobs", json={}, headers=headers), 400, "malformed_key")
    assert records(redis) == 0


def test_two_keys_at_once_are_refused(client: TestClient, worker: PlayedWorker) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    problem(client.post("/v1/jobs", json={}, headers=headers), 400, "malformed_key")


def test_a_key_is_kept_for_a_day_and_only_as_a_hash(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    post(client, "customer-4711")
    (name,) = redis.scan_iter(keys.idempotency("*", "*"))
    assert 86_000 < redis.ttl(name) <= 86_400
    assert b"customer" not in name + (redis.get(name) or b"")


def test_the_replay_of_a_job_that_was_deleted_finds_none(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = post(client, "k").json()
    assert client.delete(job["urls"]["self"]).status_code == 204
    problem(post(client, "k"), 404, "job_not_found")


def test_keys_of_one_tenant_mean_nothing_to_another(redis: Redis, worker: PlayedWorker) -> None:
    submissions = SubmissionService(redis, submitting=redis, webhook_policy=WebhookPolicy())
    accepted = [
        submissions.of(tenant).submit(JobSubmission(), strict=False, named=Named("k", {}))
        for tenant in ("ann", "bob", "ann")
    ]
    assert [one.replayed for one in accepted] == [False, False, True]
    assert accepted[0].job_id == accepted[2].job_id != accepted[1].job_id


def test_many_at_once_under_one_key_make_one_job(
    api: ApiProcess, worker: PlayedWorker, redis: Redis
) -> None:
    with api.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
        for key in ("a", "b", "c"):
            answers = list(pool.map(lambda _, key=key: post(client, key, n=2), range(AT_ONCE)))
            assert {answer.status_code for answer in answers} == {202}
            assert len({answer.json()["id"] for answer in answers}) == 1
            assert len({answer.json()["request"]["seed"] for answer in answers}) == 1
            assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert records(redis) == 3
    assert redis.llen("rq:queue:tiny.normal") == 3


def test_an_answer_lost_with_its_api_is_found_by_the_next(
    redis_server: RedisServer, worker: PlayedWorker, redis: Redis
) -> None:
    """Accepted, but the client never heard: it was waiting for the job when the process died."""
    headers = {"Idempotency-Key": "k", "Prefer": "wait=60"}
    with (
        ApiProcess.start(redis_server.url) as api,
        api.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        lost = pool.submit(client.post, "/v1/jobs", json={}, headers=headers)
        until(lambda: records(redis))
        api.process.send_signal(signal.SIGKILL)
        assert isinstance(lost.exception(), TransportError)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        found = post(client, "k")
    assert found.headers["idempotency-replayed"] == "true"
    assert records(redis) == 1


def test_whenever_the_api_is_killed_each_key_makes_one_job(
    redis_server: RedisServer, worker: PlayedWorker, redis: Redis
) -> None:
    sent: dict[str, str | None] = {}  # by key: the job that was answered, if any was

    def post_until_cut_off(client: Client) -> None:
        with suppress(TransportError):
            while True:
                name = uuid.uuid4().hex
                sent[name] = None
                sent[name] = post(client, name).json()["id"]

    with (
        ApiProcess.start(redis_server.url) as api,
        api.client() as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        for _ in range(CLIENTS):
            pool.submit(post_until_cut_off, client)
        until(lambda: records(redis) > CLIENTS)
        api.process.send_signal(signal.SIGKILL)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        found = {name: post(client, name).json()["id"] for name in sent}
    assert sum(job_id is None for job_id in sent.values()) == CLIENTS
    assert all(job_id in (None, found[name]) for name, job_id in sent.items())
    assert records(redis) == len(set(found.values())) == len(sent)
