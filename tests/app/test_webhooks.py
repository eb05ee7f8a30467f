"""Webhooks over HTTP: asked for, looked at, tried, sent again; by their tenant alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from app import deps
from app.main import create_app
from app.settings import Settings
from protocol import keys
from protocol.messages import DeliveryAttempt
from protocol.webhook_policy import parse_networks
from protocol.webhook_store import Delivery, DeliveryState, Settlement, WebhookStore, of_job
from tests.app.checks import moment, pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit
from tests.conftest import RedisServer

URL = "https://example.org/hook?token=1"
EVENTS = ["job.succeeded", "job.failed", "job.canceled"]


@pytest.fixture
def store(redis: Redis) -> WebhookStore:
    return WebhookStore(redis)


@contextmanager
def asked_by(client: TestClient, tenant: str) -> Iterator[None]:
    """The same service, asked by somebody else."""
    overrides = client.app.dependency_overrides  # type: ignore[attr-defined]
    overrides[deps._tenant] = lambda: tenant
    yield
    overrides.clear()


def ended(client: TestClient, worker: PlayedWorker, **body: Any) -> str:
    """The id of a job that has ended, whose end is to be told."""
    job_id: str = submit(client, webhook={"url": URL}, **body)["id"]
    worker.finish(job_id)
    return job_id


def take(store: WebhookStore) -> Delivery:
    (taken,) = store.claim(10, lease_s=60)
    return taken


def give_up(store: WebhookStore) -> str:
    taken = take(store)
    over = Settlement(DeliveryState.FAILED, 10, None)
    store.settle(taken, over, DeliveryAttempt(at=1.0, status=500))
    return taken.id


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (None, EVENTS),
        (["job.failed"], ["job.failed"]),
        (["job.canceled", "job.succeeded", "job.canceled"], ["job.succeeded", "job.canceled"]),
    ],
)
def test_a_webhook_is_echoed_with_all_its_events(
    client: TestClient, worker: PlayedWorker, events: list[str] | None, told: list[str]
) -> None:
    asked = {"url": URL} | ({} if events is None else {"events": events})
    request = submit(client, webhook=asked)["request"]
    assert request["webhook"] == {"url": URL, "events": told}
    assert submit(client, **request)["request"] == request


def test_what_the_operator_allows_is_accepted(
    redis_server: RedisServer, worker: PlayedWorker
) -> None:
    settings = Settings(
        redis_url=redis_server.url,
        webhook_allow_http=True,
        webhook_networks=parse_networks("10.0.0.0/8"),
    )
    with TestClient(create_app(settings)) as lenient:
        assert submit(lenient, webhook={"url": "http://10.1.2.3/hook"})
        refused = lenient.post("/v1/jobs", json={"webhook": {"url": "http://11.1.2.3:22"}})
        assert pointers(problem(refused, 422, "invalid_request")) == ["/webhook/url"]


def test_the_delivery_of_an_end_is_there_after_the_end(
    client: TestClient, worker: PlayedWorker, store: WebhookStore
) -> None:
    job_id = submit(client, webhook={"url": URL})["id"]
    body = problem(client.get(f"/v1/jobs/{job_id}/webhook"), 404, "delivery_not_found")
    assert "has not ended" in body["detail"]
    worker.finish(job_id)
    delivery = client.get(f"/v1/jobs/{job_id}/webhook").json()
    assert delivery == client.get(delivery["urls"]["self"]).json()
    assert (delivery["id"], delivery["object"]) == (of_job(job_id), "webhook_delivery")
    assert (delivery["type"], delivery["url"]) == ("job.succeeded", URL)
    assert (delivery["state"], delivery["attempts"]) == ("pending", [])
    assert moment(delivery["next_attempt_at"]) == moment(delivery["created_at"])
    assert delivery["urls"]["job"] == f"/v1/jobs/{job_id}"
    later = Settlement(DeliveryState.PENDING, 1, 300.0)
    tried = DeliveryAttempt(at=1_800_000_000.5, error="no answer within 15 s")
    store.settle(take(store), later, tried)
    delivery = client.get(f"/v1/jobs/{job_id}/webhook").json()
    assert delivery["attempts"] == [
        {"at": "2027-01-15T08:00:00.500000Z", "status": None, "error": "no answer within 15 s"}
    ]
    waited = moment(delivery["next_attempt_at"]) - moment(delivery["created_at"])
    assert waited.total_seconds() >= 300


def test_where_there_is_no_delivery_it_is_said_why(
    client: TestClient, worker: PlayedWorker
) -> None:
    silent, picky = submit(client), submit(client, webhook={"url": URL, "events": ["job.failed"]})
    worker.finish(picky["id"])
    for job, why in ((silent, "asks for no webhook"), (picky, "asks for none when succeeded")):
        answer = client.get(f"/v1/jobs/{job['id']}/webhook")
        assert why in problem(answer, 404, "delivery_not_found")["detail"]
    for path in (f"msg_{'0' * 32}", "msg_1", "test"):
        problem(client.get(f"/v1/webhooks/{path}"), 404, "delivery_not_found")
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/webhook"), 404, "job_not_found")


def test_an_endpoint_can_be_tried(client: TestClient, store: WebhookStore, redis: Redis) -> None:
    response = client.post("/v1/webhooks/test", json={"url": URL})
    assert response.status_code == 202
    delivery = response.json()
    assert response.headers["location"] == delivery["urls"]["self"]
    assert (delivery["type"], delivery["urls"]["job"]) == ("webhook.test", None)
    assert 0 < redis.ttl(keys.delivery(delivery["id"])) <= 86_400
    taken = take(store)
    assert (taken.id, taken.url, taken.type) == (delivery["id"], URL, "webhook.test")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": "http://example.org"}, "/url"),
        ({"url": "https://10.0.0.1"}, "/url"),
        ({"url": f"https://example.org/{'a' * 2029}"}, "/url"),
        ({"url": URL, "events": EVENTS}, "/events"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(
    client: TestClient, redis: Redis, body: dict[str, Any], pointer: str
) -> None:
    response = client.post("/v1/webhooks/test", json=body)
    assert pointers(problem(response, 422, "invalid_request")) == [pointer]
    assert redis.dbsize() == 0


def test_what_was_given_up_is_listed_and_can_be_sent_again(
    client: TestClient, worker: PlayedWorker, store: WebhookStore
) -> None:
    ids = []
    for _ in range(3):
        ended(client, worker)
        ids.append(give_up(store))
    page = client.get("/v1/webhooks/failed?page_size=2").json()
    assert [delivery["id"] for delivery in page["data"]] == ids[:0:-1]
    token = page["next_page_token"]
    rest = client.get(f"/v1/webhooks/failed?page_size=2&page_token={token}").json()
    assert [delivery["id"] for delivery in rest["data"]] == ids[:1]
    assert rest["next_page_token"] is None

    replayed = client.post(page["data"][0]["urls"]["replay"])
    assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
    assert len(replayed.json()["attempts"]) == 1
    listed = client.get("/v1/webhooks/failed").json()["data"]
    assert [delivery["id"] for delivery in listed] == [ids[1], ids[0]]
    assert take(store).id == ids[2]
    under_way = client.post(page["data"][0]["urls"]["replay"])
    assert under_way.status_code == 200


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("page_size=0", "/page_size"), ("page_token=x", "/page_token"), ("state=a", "/state")],
)
def test_a_bad_page_is_pointed_at(client: TestClient, query: str, pointer: str) -> None:
    response = client.get(f"/v1/webhooks/failed?{query}")
    assert pointers(problem(response, 422, "invalid_request")) == [pointer]


def test_nobody_sees_or_sends_anothers_deliveries(
    client: TestClient, worker: PlayedWorker, store: WebhookStore
) -> None:
    job_id = ended(client, worker)
    url = f"/v1/webhooks/{give_up(store)}"
    with asked_by(client, "other"):
        problem(client.get(f"/v1/jobs/{job_id}/webhook"), 404, "job_not_found")
        problem(client.get(url), 404, "delivery_not_found")
        problem(client.post(f"{url}/replay"), 404, "delivery_not_found")
        assert client.get("/v1/webhooks/failed").json()["data"] == []
    assert store.claim(10, lease_s=60) == [], "nothing was sent again"
    assert client.get(url).json() == client.get("/v1/webhooks/failed").json()["data"][0]
