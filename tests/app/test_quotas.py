"""What a key may have, and what is said when it has had it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from app.cost import bytes_of_image
from app.main import create_app
from app.settings import Settings
from protocol import keys
from protocol.shard_queue import queue_names
from tests import jobs
from tests.app import owners
from tests.app.checks import problem
from tests.app.played_worker import TINY, PlayedWorker
from tests.conftest import RedisServer, until


def submit(client: TestClient, name: str, **body: Any) -> Response:
    return client.post("/v1/jobs", json=body, headers=owners.header(name))


def reset_s(response: Response) -> int:
    found = re.search(r";t=(\d+)", response.headers["ratelimit"])
    assert found is not None
    return int(found[1])


def nothing_queued(redis: Redis) -> bool:
    return not redis.exists(keys.queued(), *(f"rq:queue:{name}" for name in queue_names("tiny")))


def test_a_fast_client_is_told_how_much_is_left_and_when_to_come_back(
    keyed: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    answers = [keyed.get("/v1/models", headers=owners.header("hasty")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        '"reads";r=1',
        '"reads";r=0',
        '"reads";r=0',
    ]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"reads";q=2;w=2000'}
    problem(answers[2], 429, "rate_limited")
    assert 990 < int(answers[2].headers["retry-after"]) <= 1000
    assert int(answers[2].headers["retry-after"]) >= reset_s(answers[2])


def test_who_polls_a_lot_can_still_submit_and_the_other_way_round(
    keyed: TestClient, worker: PlayedWorker
) -> None:
    for _ in range(3):
        read = keyed.get("/v1/models", headers=owners.header("hasty"))
    problem(read, 429, "rate_limited")
    writes = [submit(keyed, "hasty") for _ in range(3)]
    assert [write.status_code for write in writes] == [202, 202, 429]
    assert writes[0].headers["ratelimit-policy"] == '"writes";q=2;w=2000'


def test_a_key_without_quotas_is_told_of_none(keyed: TestClient, worker: PlayedWorker) -> None:
    answer = submit(keyed, "anna", n=1000)
    assert answer.status_code == 202
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_queued_images_are_bounded_and_each_that_is_made_makes_place(
    keyed: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    job = submit(keyed, "small", n=4).json()
    refused = submit(keyed, "small", n=2)
    body = problem(refused, 429, "quota_exceeded")
    assert "5 images queued at a time; 4 are" in body["detail"]
    assert refused.headers["ratelimit-policy"] == '"queued-images";q=5;qu="images"'
    assert refused.headers["ratelimit"] == '"queued-images";r=1'
    assert int(refused.headers["retry-after"]) > 0
    worker.commit(worker.begin(job["id"]), 0)
    assert submit(keyed, "small", n=2).status_code == 202
    problem(submit(keyed, "small", n=1), 429, "quota_exceeded")


def test_a_job_larger_than_the_quota_never_fits(
    keyed: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    refused = problem(submit(keyed, "small", n=6), 429, "quota_exceeded")
    assert "Waiting does not help" in refused["detail"]
    assert nothing_queued(redis)


@pytest.mark.parametrize("end", ["cancel", "fail", "finish"])
def test_a_job_that_ends_leaves_nothing_queued(
    keyed: TestClient, worker: PlayedWorker, redis: Redis, end: str
) -> None:
    job = submit(keyed, "small", n=5).json()
    ends: dict[str, Callable[[], object]] = {
        "cancel": lambda: keyed.post(job["urls"]["cancel"], headers=owners.header("small")),
        "fail": lambda: worker.fail(job["id"]),
        "finish": lambda: worker.finish(job["id"]),
    }
    ends[end]()
    assert not redis.exists(keys.queued())
    assert submit(keyed, "small", n=5).status_code == 202


def test_images_of_a_day_are_bounded_whatever_became_of_them(
    keyed: TestClient, worker: PlayedWorker
) -> None:
    job = submit(keyed, "daily", n=4).json()
    worker.finish(job["id"])
    refused = submit(keyed, "daily", n=2)
    body = problem(refused, 429, "quota_exceeded")
    assert "5 images a day (UTC); 4 are" in body["detail"]
    assert refused.headers["ratelimit-policy"] == '"images-per-day";q=5;w=86400;qu="images"'
    assert refused.headers["ratelimit"].startswith('"images-per-day";r=1;t=')
    assert int(refused.headers["retry-after"]) == reset_s(refused) <= 86_400
    assert submit(keyed, "daily", n=1).status_code == 202


def test_a_refused_job_counts_nowhere(
    keyed: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    for body in ({"n": 0}, {"sampler": "euler"}, {"n": 6}):
        assert submit(keyed, "daily", **body).status_code in (422, 429)
    assert nothing_queued(redis)
    assert submit(keyed, "daily", n=5).status_code == 202


def test_a_full_service_refuses_whoever_comes_next(
    redis_server: RedisServer, worker: PlayedWorker
) -> None:
    app = create_app(Settings(redis_url=redis_server.url, max_queued_images=10))
    with TestClient(app) as client:
        assert client.post("/v1/jobs", json={"n": 10}).status_code == 202
        refused = client.post("/v1/jobs", json={})
        problem(refused, 429, "queue_full")
        assert int(refused.headers["retry-after"]) > 0


def test_images_that_would_not_fit_into_redis_are_refused_before_they_are_accepted(
    redis_server: RedisServer, worker: PlayedWorker, redis: Redis
) -> None:
    app = create_app(Settings(redis_url=redis_server.url))  # has not looked at the memory yet
    each = bytes_of_image(jobs.request(), TINY)
    until(lambda: redis.info("memory")["lazyfree_pending_objects"] == 0)  # of the test before
    used = int(redis.info("memory")["used_memory"])
    with TestClient(app, raise_server_exceptions=False) as client:
        try:
            redis.config_set("maxmemory", used + 2**20 + 100 * each)
            assert client.post("/v1/jobs", json={"n": 100}).status_code == 202
            before = redis.dbsize()
            refused = client.post("/v1/jobs", json={"n": 100_000})  # more than can be freed
            problem(refused, 507, "storage_full")
            assert int(refused.headers["retry-after"]) > 0
            assert redis.dbsize() == before
        finally:
            redis.config_set("maxmemory", 0)
        assert client.post("/v1/jobs", json={"n": 100_000}).status_code == 202


def test_what_an_image_takes_is_not_less_than_it_really_does(redis: Redis) -> None:
    played = PlayedWorker(redis)
    played.announce()
    job_ids = [jobs.submit(redis, n=100) for _ in range(2)]
    played.finish(job_ids[0])  # scripts, buckets of the allocator
    before = int(redis.info("memory")["used_memory_dataset"])
    played.finish(job_ids[1])
    grown = int(redis.info("memory")["used_memory_dataset"]) - before
    assert grown <= 100 * bytes_of_image(jobs.request(), TINY)
