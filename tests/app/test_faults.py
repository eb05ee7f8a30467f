"""What a client sees when something of ours is broken."""

import json
from collections.abc import Iterator
from typing import cast

import pytest
from httpx2 import Client
from redis import Redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from chaos.proxy import Proxy
from protocol import keys
from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer, until


def test_a_dead_redis_is_a_503_and_a_live_one_brings_everything_back(
    mortal_api: ApiProcess, mortal_redis: RedisServer
) -> None:
    with mortal_api.client() as client:
        with mortal_redis.client() as redis:
            PlayedWorker(redis).announce()
        job = client.post("/v1/jobs", json={}).json()
        mortal_redis.kill()
        for method, path in _asked(job["id"]):
            response = client.request(method, path, json={} if method == "POST" else None)
            problem(response, 503, "redis_unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert client.get("/livez").json() == {"status": "alive"}
        mortal_redis.start()
        again = until(lambda: _answered(client, job["urls"]["self"]))
        assert (again["id"], again["status"]) == (job["id"], "queued")
        assert client.post("/v1/jobs", json={}).status_code == 202


def _asked(job_id: str) -> Iterator[tuple[str, str]]:
    url = f"/v1/jobs/{job_id}"
    yield "POST", "/v1/jobs"
    yield "POST", f"{url}/cancel"
    for path in (url, f"{url}/images/0.png", f"{url}/grid.png", "/v1/models", "/readyz"):
        yield "GET", path


def _answered(client: Client, url: str) -> dict[str, str] | None:
    response = client.get(url)
    return response.json() if response.status_code == 200 else None


def test_a_redis_without_room_refuses_before_it_accepts(
    mortal_api: ApiProcess, mortal_redis: RedisServer
) -> None:
    with mortal_api.client() as client, mortal_redis.client() as redis:
        PlayedWorker(redis).announce()
        before = redis.dbsize()
        redis.config_set("maxmemory", "1")
        response = client.post("/v1/jobs", json={})
        problem(response, 507, "storage_full")
        assert int(response.headers["retry-after"]) > 0
        assert redis.dbsize() == before
        redis.config_set("maxmemory", "0")
        assert client.post("/v1/jobs", json={}).status_code == 202


def test_a_redis_that_cannot_write_to_its_disk_refuses_too(
    mortal_api: ApiProcess, mortal_redis: RedisServer
) -> None:
    """What MISCONF says; provoked by a snapshot that cannot be written."""
    with mortal_api.client() as client, mortal_redis.client() as redis:
        PlayedWorker(redis).announce()
        redis.config_set("save", "3600 1000000")
        (mortal_redis.folder / "dump.rdb").mkdir()
        redis.bgsave()
        until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
        body = problem(client.post("/v1/jobs", json={}), 507, "storage_full")
        assert "disk" in body["detail"]


@pytest.mark.parametrize("requested", [None, "my-id.7", "bad id\t"])
def test_a_crash_is_an_id_to_quote_and_nothing_else(
    redis_server: RedisServer, redis: Redis, requested: str | None
) -> None:
    app = create_app(Settings(redis_url=redis_server.url))

    @app.get("/crash")
    def crash() -> None:
        raise RuntimeError("a secret")

    headers = {} if requested is None else {"X-Request-Id": requested}
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/crash", headers=headers)
    body = problem(response, 500, "internal")
    assert response.headers["x-request-id"] in body["detail"]
    assert (response.headers["x-request-id"] == requested) == (requested == "my-id.7")
    assert "secret" not in json.dumps(body)


def test_a_mistake_of_ours_with_redis_is_in_the_log(
    mortal_api: ApiProcess, mortal_redis: RedisServer
) -> None:
    with mortal_api.client() as client, mortal_redis.client() as redis:
        redis.set(keys.models(), "no hash")
        body = problem(client.get("/v1/models"), 500, "internal")
    assert "WRONGTYPE" not in json.dumps(body)
    until(lambda: any("WRONGTYPE" in line for line in mortal_api.log))


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost", "redis://user:secret @h"])
def test_a_bad_redis_url_stops_the_start_and_is_not_shown(url: str) -> None:
    with ApiProcess.start(url) as api:
        assert api.process.wait(timeout=60) == 2
        until(lambda: api.log)
        log = "".join(api.log)
    assert log.startswith("cannot start: REDIS_URL: ")
    assert log.count("\n") == 1
    assert "secret" not in log


class CutsAfterSubmission(Proxy):
    """Redis has been told to record a job; nobody will ever hear whether it did."""

    cuts = 0
    armed = False

    def passed(self, data: bytes) -> None:
        if self.armed and b"EVALSHA" in data and b"rq:job:job_" in data:
            self.cuts += 1
            with self.redis.client() as redis:
                until(lambda: len(redis.keys("denoised:job:job_*")) == 2)
            self.cut()

    redis: RedisServer


def test_a_job_whose_acceptance_was_lost_on_the_way_is_accepted_all_the_same(
    mortal_redis: RedisServer,
) -> None:
    proxy = CutsAfterSubmission(f"{mortal_redis.folder}/redis.sock")
    proxy.redis = mortal_redis
    with (
        ApiProcess.start(f"redis://127.0.0.1:{proxy.port}/0") as api,
        api.client() as client,
        mortal_redis.client() as redis,
    ):
        PlayedWorker(redis).announce()
        first = client.post("/v1/jobs", json={})  # from now on Redis knows the script
        proxy.armed = True
        second = client.post("/v1/jobs", json={})
        assert second.status_code == 202
        ids = {first.json()["id"], second.json()["id"]}
        there = cast(list[bytes], redis.keys("denoised:job:job_*"))
        assert {key.decode().removeprefix("denoised:job:") for key in there} == ids
    assert proxy.cuts == 1
    proxy.close()
