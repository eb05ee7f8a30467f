"""What operators see: the access log, stats, metrics; and browsers of other origins."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from protocol.messages import WorkerInfo, WorkerLoad
from tests.app import owners
from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.app.provocations import UNKNOWN
from tests.conftest import RedisServer, until

LOAD = WorkerLoad(
    rows_running=12, rows_waiting=3, width=16, images_per_s=2.5, steps_per_s=40.0, occupancy=0.75
)


def busy(worker: PlayedWorker, name: str = "played") -> None:
    worker.registry.heartbeat(
        WorkerInfo(
            name=name,
            model="tiny",
            device="paper",
            precision="float32",
            engine="engine-1",
            load=LOAD,
        )
    )


def accesses(api: ApiProcess) -> list[dict[str, Any]]:
    lines = [line for line in api.log if line.startswith("{")]
    return [entry for entry in map(json.loads, lines) if "duration_ms" in entry]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_each_request_is_a_line_of_json_that_holds_no_secret(
    redis_server: RedisServer, worker: PlayedWorker, tmp_path: Path, kind: str
) -> None:
    path = owners.write(tmp_path / "keys.toml")
    environment = {"APP_KEYS_FILE": str(path), "APP_LOG": kind}
    with ApiProcess.start(redis_server.url, environment=environment) as api, api.client() as client:
        anna = owners.header("anna")
        client.get("/livez")
        client.get("/readyz")
        client.get(f"/v1/jobs/{UNKNOWN}?secret=hush", headers=anna)
        client.post("/v1/jobs", json={}, headers=anna | {"X-Request-Id": "mine"})
        client.get("/v1/models")
        read, submitted, refused = until(lambda: found if len(found := accesses(api)) > 2 else None)
    assert [entry["status"] for entry in (read, submitted, refused)] == [422, 202, 401]
    assert set(read) == {
        *("time", "method", "path", "status", "duration_ms", "bytes", "request_id", "tenant")
    }
    assert (submitted["method"], submitted["path"]) == ("POST", "/v1/jobs")
    assert (submitted["request_id"], submitted["tenant"]) == ("mine", "anna")
    assert submitted["bytes"] > 500
    assert refused["tenant"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", read["time"])
    log = "".join(api.log)
    assert not re.search("hush|the-key-of|livez|readyz", log)
    others = [line for line in api.log if "duration_ms" not in line]
    assert all(line.startswith("{") == (kind == "json") for line in others)


def test_a_crash_is_logged_as_such(
    redis_server: RedisServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(redis_url=redis_server.url))

    @app.get("/crash")
    def crash() -> None:
        raise RuntimeError

    caplog.set_level("INFO", "app.access")
    with TestClient(app, raise_server_exceptions=False) as client:
        client.get("/crash")
    (record,) = [record for record in caplog.records if record.name == "app.access"]
    assert record.getMessage() == "GET /crash 500"


def test_stats_tell_how_much_there_is_to_do_and_how_it_goes(
    client: TestClient, keyed: TestClient, worker: PlayedWorker
) -> None:
    busy(worker)
    PlayedWorker(worker.redis, name="silent").announce()
    keyed.post("/v1/jobs", json={"n": 40}, headers=owners.header("anna"))
    job = client.post("/v1/jobs", json={"n": 3, "priority": "high"}).json()
    worker.commit(worker.begin(job["id"]), 0)
    stats = client.get("/v1/stats").json()
    assert (stats["images_queued"], stats["jobs_waiting"]) == (42, 1)
    assert stats["bytes_reserved"] > 42 * 1000
    assert {(q["model"], q["priority"]): (q["shards"], q["images"]) for q in stats["queues"]} == {
        ("tiny", "high"): (1, 2),
        ("tiny", "normal"): (2, 40),
        ("tiny", "low"): (0, 0),
    }
    assert stats["tenants"] == [
        {"name": "anna", "images_queued": 40},
        {"name": "default", "images_queued": 2},
    ]
    assert (stats["rows_running"], stats["images_per_s"], stats["occupancy"]) == (12, 2.5, 0.75)
    loads = {each["name"]: each["load"] for each in stats["workers"]}
    assert loads["played"] == LOAD.model_dump()
    assert loads["silent"]["rows_running"] == 0


def metrics(client: TestClient) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_by_route_and_status_and_look_at_the_queue(
    redis_server: RedisServer, worker: PlayedWorker
) -> None:
    busy(worker)
    with TestClient(create_app(Settings(redis_url=redis_server.url))) as client:
        url = client.post("/v1/jobs", json={"n": 5}).json()["urls"]["self"]
        client.get(url)
        client.get(f"/v1/jobs/{UNKNOWN}")
        seen = metrics(client)
    requests = {name: value for name, value in seen.items() if "requests_total" in name}
    prefix = "denoised_http_requests_total"
    assert requests == {
        prefix + '{method="POST",route="/v1/jobs",status="202"}': 1,
        prefix + '{method="GET",route="/v1/jobs/{job_id}",status="200"}': 1,
        prefix + '{method="GET",route="/v1/jobs/{job_id}",status="404"}': 1,
    }
    seconds = 'denoised_http_request_seconds_count{method="GET",route="/v1/jobs/{job_id}"}'
    assert seen[seconds] == 2
    assert seen["denoised_redis_up"] == 1
    assert seen["denoised_queued_images"] == 5
    assert seen['denoised_queue_images{model="tiny",priority="normal"}'] == 5
    assert seen['denoised_queue_shards{model="tiny",priority="normal"}'] == 1
    assert seen['denoised_workers{model="tiny"}'] == 1
    assert seen['denoised_rows_running{model="tiny"}'] == 12
    assert seen["denoised_occupancy"] == 0.75
    assert seen["denoised_http_waiters"] == 0


def test_whatever_clients_send_there_are_few_series(
    redis_server: RedisServer, worker: PlayedWorker
) -> None:
    with TestClient(create_app(Settings(redis_url=redis_server.url))) as client:
        for i in range(20):
            client.request(f"VERB{i}", f"/v1/{i}")
            client.get(f"/v1/jobs/job_{i:032x}")
            client.get(f"/v1/models/m{i}", params={"p": i})
            busy(worker, name=f"worker-{i}")
        names = [name for name in metrics(client) if "requests_total" in name]
        assert len(names) == 3
        assert len(metrics(client)) < 130


def test_metrics_say_so_where_redis_is_away(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(owners.entry("root").replace("{}", "{ requests_per_s = 1 }"))
    settings = Settings(redis_url="unix:///nowhere.sock", keys_file=path)
    with TestClient(create_app(settings), headers=owners.header("root")) as client:
        seen = metrics(client)
    assert seen["denoised_redis_up"] == 0


def test_other_origins_are_let_in_by_name_alone(
    redis_server: RedisServer, worker: PlayedWorker, tmp_path: Path
) -> None:
    path = owners.write(tmp_path / "keys.toml")
    settings = Settings(
        redis_url=redis_server.url,
        keys_file=path,
        cors_origins=("https://a.example", "http://localhost:3000"),
    )
    leave = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,prefer,if-range",
    }
    with TestClient(create_app(settings)) as client:
        asked = client.options("/v1/jobs", headers=leave | {"Origin": "https://a.example"})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://a.example"
        refused = client.get("/v1/models", headers={"Origin": "https://a.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://a.example"
        shown = refused.headers["access-control-expose-headers"].split(", ")
        assert {"RateLimit", "Content-Range", "Content-Disposition"} <= set(shown)
        other = client.options("/v1/jobs", headers=leave | {"Origin": "https://b.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers


def test_without_a_setting_no_other_origin_is_let_in(client: TestClient) -> None:
    answer = client.get("/livez", headers={"Origin": "https://a.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.options("/v1/jobs", headers={"Origin": "https://a.example"}).status_code == 405
