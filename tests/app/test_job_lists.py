"""Lists of jobs: their order, their pages, their filters, and whose they are."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from app import deps, job_pages
from app.main import create_app
from app.settings import Settings
from protocol import keys
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit
from tests.conftest import RedisServer


def listed(client: TestClient, query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/jobs{query}")
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [job["id"] for job in page["data"]]


def pages(client: TestClient, query: str) -> Iterator[dict[str, Any]]:
    """All pages of a list."""
    page = listed(client, f"?{query}")
    yield page
    while page["next_page_token"]:
        page = listed(client, f"?{query}&page_token={page['next_page_token']}")
        yield page


def test_jobs_are_listed_newest_first_without_their_images(
    client: TestClient, worker: PlayedWorker
) -> None:
    assert listed(client) == {"object": "list", "data": [], "next_page_token": None}
    submitted = [submit(client, n=2)["id"] for _ in range(3)]
    worker.finish(submitted[0])
    worker.commit(worker.begin(submitted[1]), 0, steps_in_flight=500)
    page = listed(client)
    assert ids(page) == sorted(submitted, reverse=True)
    assert page["next_page_token"] is None
    for item in page["data"]:
        whole = client.get(item["urls"]["self"]).json()
        assert item["progress"].pop("eta_s") is None or whole["status"] == "running"
        del whole["progress"]["eta_s"]
        for left_out in ("images", "images_truncated", "verification"):
            del whole[left_out]
        assert item == whole
    statuses = [job["status"] for job in page["data"]]
    assert statuses == ["queued", "running", "succeeded"]
    assert page["data"][0]["progress"]["queue_position"] == 0
    assert page["data"][1]["progress"]["steps_done"] == 1500


def test_pages_follow_each_other_whatever_comes_or_goes_in_between(
    client: TestClient, worker: PlayedWorker
) -> None:
    submitted = sorted((submit(client)["id"] for _ in range(7)), reverse=True)
    first = listed(client, "?page_size=3")
    assert ids(first) == submitted[:3]
    submit(client)
    client.delete(f"/v1/jobs/{submitted[2]}")
    client.delete(f"/v1/jobs/{submitted[4]}")
    second = listed(client, f"?page_size=2&page_token={first['next_page_token']}")
    assert ids(second) == [submitted[3], submitted[5]]
    third = listed(client, f"?page_token={second['next_page_token']}")
    assert (ids(third), third["next_page_token"]) == ([submitted[6]], None)


def test_a_last_page_that_is_full_has_no_successor(
    client: TestClient, worker: PlayedWorker
) -> None:
    submitted = {submit(client)["id"] for _ in range(4)}
    two = list(pages(client, "page_size=2"))
    assert [len(page["data"]) for page in two] == [2, 2]
    assert {job_id for page in two for job_id in ids(page)} == submitted
    assert [len(page["data"]) for page in pages(client, "page_size=2&status=queued")] == [2, 2]


def test_a_page_has_twenty_jobs_unless_asked_otherwise(
    client: TestClient, worker: PlayedWorker
) -> None:
    for _ in range(21):
        submit(client)
    assert len(listed(client)["data"]) == 20
    assert len(listed(client, "?page_size=200")["data"]) == 21


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=queued", {"b", "c", "d"}),
        ("status=succeeded&status=queued", {"a", "b", "c", "d"}),
        ("status=failed", set()),
        ("model=tiny", {"a", "b"}),
        ("model=tiny&model=other", {"a", "b", "c"}),
        ("metadata.who=me", {"a", "c"}),
        ("metadata.who=me&metadata.who=you", {"a", "b", "c"}),
        ("metadata.who=me&metadata.run=7", {"a"}),
        ("metadata.run=7", {"a", "b"}),
        ("metadata.flag=true", {"b"}),
        ("metadata.nothing=null", {"b"}),
        ("metadata.absent=null", set()),
        ("metadata.a.b=1", {"c"}),
        ("metadata.list=[1,2]", {"c"}),
        ('metadata.who={"é":["ü"]}', {"d"}),
        ("status=queued&model=tiny&metadata.who=you", {"b"}),
    ],
)
def test_filters_must_all_fit_and_of_each_one_value(
    client: TestClient, worker: PlayedWorker, redis: Redis, query: str, found: set[str]
) -> None:
    for name in ("other", "third"):
        PlayedWorker(redis, worker.model.model_copy(update={"name": name}), name=name).announce()
    names = {
        submit(client, model="tiny", metadata={"who": "me", "run": 7})["id"]: "a",
        submit(
            client,
            model="tiny",
            metadata={"who": "you", "run": "7", "flag": True, "nothing": None},
        )["id"]: "b",
        submit(client, model="other", metadata={"who": "me", "a.b": 1, "list": [1, 2]})["id"]: "c",
        submit(client, model="third", metadata={"who": {"é": ["ü"]}})["id"]: "d",
    }
    worker.finish(next(iter(names)))
    assert {names[job_id] for job_id in ids(listed(client, f"?{query}"))} == found


def test_a_job_whose_images_are_gone_is_listed_as_expired(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    job_id = submit(client, ttl_s=60)["id"]
    worker.finish(job_id)
    redis.hincrbyfloat(keys.job(job_id), "expires_at", -61)  # as if the minute had passed
    assert ids(listed(client, "?status=expired")) == [job_id]
    assert ids(listed(client, "?status=succeeded")) == []
    redis.delete(keys.job(job_id))  # as if a week had passed
    assert ids(listed(client)) == []


def test_a_rare_job_is_found_in_calls_that_each_look_at_a_bounded_number(
    client: TestClient, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_pages, "BATCH", 2)
    monkeypatch.setattr(job_pages, "BATCHES", 3)
    rare = submit(client, metadata={"rare": "yes"})["id"]
    for _ in range(13):
        submit(client)
    found = list(pages(client, "metadata.rare=yes"))
    assert [len(page["data"]) for page in found] == [0, 0, 1]
    assert ids(found[-1]) == [rare]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("page_size=0", "/page_size"),
        ("page_size=201", "/page_size"),
        ("page_size=x", "/page_size"),
        ("status=done", "/status/0"),
        ("model=NO", "/model/0"),
        ("order=asc", "/order"),
        ("page_size=2&page_size=2", "/page_size"),
        ("metadata=x", "/metadata"),
        ("metadata.=x", "/metadata."),
        ("page_token=", "/page_token"),
        ("page_token=x", "/page_token"),
        (f"page_token={'A' * 21}", "/page_token"),
        (f"page_token={'A' * 500}", "/page_token"),
        ("page_token=%C3%A9%00", "/page_token"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(
    client: TestClient, query: str, pointer: str
) -> None:
    body = problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_request")
    assert pointers(body) == [pointer]


def test_a_token_belongs_to_its_list_and_its_filters(
    client: TestClient, worker: PlayedWorker
) -> None:
    for _ in range(2):
        submit(client, metadata={"a": "1"})
    token = listed(client, "?page_size=1&metadata.a=1")["next_page_token"]
    assert len(listed(client, f"?metadata.a=1&page_token={token}")["data"]) == 1
    tampered = [
        f"{token[:at]}{'A' if c != 'A' else 'B'}{token[at + 1 :]}" for at, c in enumerate(token)
    ]
    others = [f"metadata.a=2&page_token={token}", f"page_token={token}"]
    for query in [*others, *(f"metadata.a=1&page_token={text}" for text in tampered)]:
        body = problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_request")
        assert pointers(body) == ["/page_token"]


def test_a_tenant_sees_nothing_of_anothers_jobs(
    redis_server: RedisServer, client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=2)
    submit(client)
    worker.finish(job["id"])
    png = client.get(f"{job['urls']['images']}/0.png").content
    token = listed(client, "?page_size=1")["next_page_token"]
    app = create_app(Settings(redis_url=redis_server.url))
    app.dependency_overrides[deps._tenant] = lambda: "another"
    with TestClient(app) as other:
        assert listed(other)["data"] == []
        problem(other.get(f"/v1/jobs?page_token={token}"), 422, "invalid_request")
        for path in ("", "/images", "/images/0.png", "/archive.zip"):
            problem(other.get(job["urls"]["self"] + path), 404, "job_not_found")
        problem(other.delete(job["urls"]["self"]), 404, "job_not_found")
        png_headers = {"Content-Type": "image/png"}
        assert other.post("/v1/verify", content=png, headers=png_headers).status_code == 422
        mine = submit(other)
        assert ids(listed(other)) == [mine["id"]]
    assert len(listed(client)["data"]) == 2
    assert client.get(job["urls"]["self"]).status_code == 200
