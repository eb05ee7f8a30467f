"""All finished images of a job, by the page."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from app import image_pages
from protocol import keys
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit


def pages(client: TestClient, job: dict[str, Any], **query: Any) -> Iterator[list[dict[str, Any]]]:
    """The images of each page."""
    token: str | None = ""
    while token is not None:
        params = query | ({"page_token": token} if token else {})
        response = client.get(job["urls"]["images"], params=params)
        assert response.status_code == 200, response.text
        yield response.json()["data"]
        token = response.json()["next_page_token"]


def indices(images: list[dict[str, Any]]) -> list[int]:
    return [image["index"] for image in images]


def test_all_images_are_listed_by_index(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=7, first_index=40)
    worker.finish(job["id"])
    found = list(pages(client, job, page_size=3))
    assert [indices(page) for page in found] == [[40, 41, 42], [43, 44, 45], [46]]
    images = client.get(job["urls"]["self"]).json()["images"]
    assert [image for page in found for image in page] == images


def test_a_page_that_ends_with_the_last_image_has_no_successor(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=6)
    worker.finish(job["id"])
    assert [len(page) for page in pages(client, job, page_size=3)] == [3, 3]
    assert [len(page) for page in pages(client, job)] == [6]


def test_more_than_a_job_lists_itself_can_be_paged_through(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=1100)
    worker.finish(job["id"])
    found = list(pages(client, job, page_size=1000))
    assert [len(page) for page in found] == [1000, 100]
    assert indices(found[1])[-1] == 1099


def test_while_a_job_runs_a_page_has_what_is_finished(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=32)
    assert list(pages(client, job)) == [[]]
    held = worker.begin(job["id"])
    for index in (30, 4, 9):
        worker.commit(held, index)
    assert [indices(page) for page in pages(client, job, page_size=2)] == [[4, 9], [30]]


def test_an_image_that_finishes_while_a_page_is_read_does_not_end_the_list(
    client: TestClient, worker: PlayedWorker
) -> None:
    job_id = submit(client, n=9)["id"]
    held = worker.begin(job_id)
    worker.commit(held, 8)
    record = worker.store.get(job_id)
    assert record is not None
    worker.commit(held, 0)
    found, token = image_pages.page_of(worker.store, record, size=1, token=None)
    assert [manifest.index for manifest in found] == [0]
    assert token is not None


def test_a_large_job_that_was_canceled_early_is_one_page(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=100_000)
    held = worker.begin(job["id"])
    for index in (3, 17):
        worker.commit(held, index)
    client.post(job["urls"]["cancel"])
    worker.store.leave_shard(held)
    assert [indices(page) for page in pages(client, job)] == [[3, 17]]


def test_a_page_looks_at_a_bounded_number_of_places(
    client: TestClient, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pages, "WINDOW", 10)
    monkeypatch.setattr(image_pages, "LOOKED_AT", 25)
    job = submit(client, n=70)
    worker.commit(worker.begin(job["id"], 2), 69)
    assert [indices(page) for page in pages(client, job, page_size=5)] == [[], [], [69]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("page_size=0", "/page_size"),
        ("page_size=1001", "/page_size"),
        ("page_token=x", "/page_token"),
        ("from_index=3", "/from_index"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(
    client: TestClient, worker: PlayedWorker, query: str, pointer: str
) -> None:
    job = submit(client)
    response = client.get(f"{job['urls']['images']}?{query}")
    assert pointers(problem(response, 422, "invalid_request")) == [pointer]


def test_a_token_of_another_job_is_refused(client: TestClient, worker: PlayedWorker) -> None:
    one, other = submit(client, n=2), submit(client, n=2)
    for job in (one, other):
        worker.finish(job["id"])
    page = client.get(one["urls"]["images"], params={"page_size": 1}).json()
    response = client.get(other["urls"]["images"], params={"page_token": page["next_page_token"]})
    assert pointers(problem(response, 422, "invalid_request")) == ["/page_token"]


def test_expired_images_are_gone(client: TestClient, worker: PlayedWorker, redis: Redis) -> None:
    job = submit(client)
    worker.finish(job["id"])
    redis.hset(keys.job(job["id"]), "expires_at", "1.0")
    problem(client.get(job["urls"]["images"]), 410, "expired")
    problem(client.get(job["urls"]["archive"]), 410, "expired")
