"""What operators do from the command line, on a real Redis, by a real process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from protocol.job_store import JobStore
from protocol.states import JobState
from tests.app import owners
from tests.app.played_worker import PlayedWorker
from tests.app.test_verify import accepted, made
from tests.conftest import ROOT, RedisServer
from tests.jobs import record

Admin = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def admin(redis_server: RedisServer) -> Admin:
    def run(*arguments: str, url: str = redis_server.url) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "app.admin", *arguments],
            cwd=ROOT,
            env=os.environ | {"REDIS_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def posted(client: TestClient, owner: str | None = None) -> str:
    headers = owners.header(owner) if owner else {}
    job_id: str = client.post("/v1/jobs", json={"n": 2}, headers=headers).json()["id"]
    return job_id


def left(redis: Redis, *job_ids: str) -> list[bool]:
    return [bool(redis.exists(keys.job(job_id))) for job_id in job_ids]


def test_jobs_that_ended_long_enough_ago_are_purged_and_no_others(
    client: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    old, young, waiting = (posted(client) for _ in range(3))
    worker.finish(old)
    worker.finish(young)
    redis.hincrbyfloat(keys.job(old), "finished_at", -3 * 86_400)
    refused = admin("purge", "--older-than", "2d")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("1 jobs would be deleted")
    assert left(redis, old, young, waiting) == [True, True, True]
    done = admin("purge", "--older-than", "2d", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted_jobs": 1, "deleted_images": 2}
    assert left(redis, old, young, waiting) == [False, True, True]
    assert client.get(f"/v1/jobs/{old}").status_code == 404
    assert not redis.exists(keys.images(old))


def test_all_of_a_tenant_is_purged_what_waits_too_and_nobody_elses(
    client: TestClient, keyed: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    other, done, waiting = posted(client), posted(keyed, "anna"), posted(keyed, "anna")
    worker.finish(done)
    assert admin("purge", "--all-of", "anna", "--yes").stdout.startswith("deleted_jobs: 2\n")
    assert left(redis, other, done, waiting) == [True, False, False]
    assert redis.hgetall(keys.queued())[b"images"] == b"2"
    assert redis.llen("rq:queue:tiny.normal") == 1


def test_status_tells_what_waits_and_whether_workers_claim(
    client: TestClient, worker: PlayedWorker, admin: Admin
) -> None:
    posted(client)
    said = admin("status").stdout
    assert "paused: no\n" in said
    assert "images_queued: 2\n" in said
    assert "name=played model=tiny" in said


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["drain", "nobody"], 1, "no live worker is called nobody; there are: played"),
        (["drain"], 2, "one of the arguments worker --all is required"),
        (["purge", "--older-than", "soon"], 2, "'soon' is no age; write 90s, 30m, 12h or 7d"),
        (["purge", "--yes"], 2, "one of the arguments --older-than --all-of is required"),
        (["purge", "--all-of", "anna", "--tenant", "bob"], 2, "--tenant"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    worker: PlayedWorker, admin: Admin, arguments: list[str], status: int, says: str
) -> None:
    done = admin(*arguments)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_is_away_is_said_so(admin: Admin) -> None:
    done = admin("status", url="unix:///nowhere.sock")
    assert done.returncode == 3
    assert done.stderr.startswith("Redis does not do it: ")


def test_a_job_that_failed_is_asked_for_again_under_a_new_id_and_as_it_was(
    keyed: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    job_id = posted(keyed, "anna")
    worker.fail(job_id)
    said = json.loads(admin("requeue", job_id, "--json").stdout)
    assert said["job"] == job_id != said["again_as"]
    before, after = record(redis, job_id), record(redis, said["again_as"])
    assert (after.status, before.status) == (JobState.QUEUED, JobState.FAILED)
    assert (after.request, after.tenant) == (before.request, "anna")
    worker.finish(said["again_as"])
    assert record(redis, said["again_as"]).status is JobState.SUCCEEDED


def test_variations_are_asked_for_again_with_the_image_they_start_from(
    client: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    first = posted(client)
    worker.finish(first)
    body = {"task": "variations", "n": 1, "image": {"job": first, "index": 0}, "t": 500}
    job_id = client.post("/v1/jobs", json=body).json()["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    again = json.loads(admin("requeue", job_id, "--json").stdout)["again_as"]
    store = JobStore(redis)
    assert store.sources(again) == store.sources(job_id) != {}
    redis.delete(keys.sources(job_id))
    refused = admin("requeue", job_id)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"{job_id}: the images that it starts from have expired\n"


def test_an_image_is_verified_again_by_the_engine_that_made_it(
    client: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    PlayedWorker(redis, name="2nd", engine="engine-2").announce()
    job_id = accepted(client, made(engine="engine-2"))["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    again = record(redis, json.loads(admin("requeue", job_id, "--json").stdout)["again_as"])
    assert again.engine == "engine-2"
    assert again.claim == record(redis, job_id).claim


def test_what_succeeded_waits_or_is_not_there_is_not_asked_for_again(
    client: TestClient, worker: PlayedWorker, redis: Redis, admin: Admin
) -> None:
    done, waiting = posted(client), posted(client)
    worker.finish(done)
    there = set(redis.keys("denoised:job:*"))
    for job_id, says in ((done, "is succeeded"), (waiting, "is queued"), ("job_x", "no job is")):
        refused = admin("requeue", job_id)
        assert refused.returncode == 1
        assert says in refused.stderr
    assert set(redis.keys("denoised:job:*")) == there
