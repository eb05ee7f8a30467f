"""The containers themselves: what they promise, with real kills, restarts and updates.

`make test-compose` runs this; `make test` does not.
"""

from base64 import b64decode
from pathlib import Path

import numpy as np

from tests.compose.stack import Stack
from tests.conftest import until

DDPM = {"name": "ddpm", "steps": 1000}
DDIM = {"name": "ddim", "steps": 20}
PNG = b"\x89PNG\r\n\x1a\n"
UPDATES = 8  # a request that comes when a replica has just gone meets one of these
DENIED = ("Read-only file system", "Permission denied")


def test_images_are_drawn_through_the_published_port(stack: Stack) -> None:
    job = {"n": 3, "seed": 7, "sampler": DDIM}
    answer = stack.call("POST", "/v1/jobs", job, prefer="wait=60")
    assert answer.status == 200, answer
    assert answer.body["model"]["name"] == "tiny"
    for image in answer.body["images"]:
        png = stack.call("GET", image["url"])
        assert png.status == 200
        assert b64decode(png.body).startswith(PNG)


def test_the_port_is_that_of_every_replica(stack: Stack) -> None:
    assert len(stack.containers("api")) == 2

    def asked(replica: str) -> bool:
        assert stack.call("GET", "/v1/models").status == 200
        return "/v1/models" in stack.compose("logs", "--index", replica, "api")

    until(lambda: asked("1"), timeout_s=120)
    until(lambda: asked("2"), timeout_s=120)


def test_containers_are_nobody_and_can_write_nowhere_but_to_their_volumes(stack: Stack) -> None:
    for service in ("api", "worker"):
        script = "id -u; grep CapBnd /proc/self/status; touch /srv/denoised/x"
        said = stack.compose("exec", "-T", service, "sh", "-c", script, check=False)
        assert "10001" in said.splitlines()
        assert "0000000000000000" in said
        assert any(word in said for word in DENIED)
    assert stack.compose("exec", "-T", "worker", "touch", "/data/x") == ""


def test_redis_wants_its_password_and_shows_it_to_nobody(
    stack: Stack, environment: dict[str, str]
) -> None:
    assert "NOAUTH" in stack.compose("exec", "-T", "redis", "redis-cli", "ping")
    assert stack.redis("ping") == ["PONG"]
    password = Path(environment["REDIS_PASSWORD_FILE"]).read_text().strip()
    assert password not in stack.compose("top")
    assert password not in stack.compose("logs")


def test_a_job_survives_the_kill_of_everything_in_the_workers_container(stack: Stack) -> None:
    undisturbed = stack.finished(stack.submit(n=16, seed=3, sampler=DDPM))
    (worker,) = stack.containers("worker")
    before = stack.inspect(worker)["RestartCount"]
    job_id = stack.submit(n=16, seed=3, sampler=DDPM)
    stack.begun(job_id)
    stack.compose("exec", "-T", "worker", "sh", "-c", "kill -9 -1", check=False)
    job = stack.finished(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempts"] == 2
    assert stack.inspect(worker)["RestartCount"] == before + 1
    assert hashes(job) == hashes(undisturbed)


def hashes(job: dict[str, object]) -> list[str]:
    images = job["images"]
    assert isinstance(images, list)
    assert len(images) == 16
    return [image["pixels_sha256"] for image in images]


def test_a_worker_process_that_is_killed_alone_is_started_again_in_its_container(
    stack: Stack,
) -> None:
    (worker,) = stack.containers("worker")
    before = stack.inspect(worker)["RestartCount"]
    job_id = stack.submit(n=16, sampler=DDPM)
    stack.begun(job_id)
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q -- '-m worker $' && "
    script += "kill -9 ${p#/proc/}; done; true"
    stack.compose("exec", "-T", "worker", "sh", "-c", script)
    job = stack.finished(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempts"] == 2
    assert stack.inspect(worker)["RestartCount"] == before
    assert "tiny has left with status -9: again in 1 s" in " ".join(
        stack.compose("logs", "worker").split()
    )


def test_two_workers_work_on_one_large_job(stack: Stack) -> None:
    stack.compose("up", "-d", "--no-recreate", "--wait", "--scale", "worker=2", "worker")
    job_id = stack.submit(n=512, sampler=DDPM)
    try:
        until(lambda: len(at_work(stack, job_id)) == 2, timeout_s=120)
    finally:
        stack.call("POST", f"/v1/jobs/{job_id}/cancel")
        stack.compose("up", "-d", "--no-recreate", "--wait", "--scale", "worker=1", "worker")
    assert len(stack.containers("worker")) == 1


def at_work(stack: Stack, job_id: str) -> set[str]:
    """The workers that have shards of a job: a lease is a worker's name and the run's."""
    runs = stack.redis("hvals", f"denoised:job:{job_id}:leases")
    return {run.split()[0] for run in runs if run}


def test_a_redis_that_is_killed_loses_nothing(stack: Stack) -> None:
    done = stack.finished(stack.submit(n=2, sampler=DDIM))
    waiting = stack.submit(n=16, sampler=DDPM)
    stack.begun(waiting)
    stack.compose("kill", "--signal", "KILL", "redis")
    stack.compose("up", "-d", "--wait", "redis")
    until(lambda: stack.call("GET", "/readyz").status == 200, timeout_s=60)
    assert stack.job(done["id"]) == done
    assert stack.call("GET", done["images"][0]["url"]).status == 200
    assert stack.finished(waiting)["status"] == "succeeded"


def test_an_update_of_the_worker_loses_no_job_and_counts_no_attempt(stack: Stack) -> None:
    long = stack.submit(n=16, sampler=DDPM)
    stack.begun(long)
    (before,) = stack.containers("worker")
    with stack.load() as requests:
        update = ("up", "-d", "--no-deps", "--force-recreate", "--wait", "worker")
        stack.compose(*update, WORKER_GRACE_S="2")
    assert stack.containers("worker") != [before]
    assert [request["status"] for request in requests] == [202] * len(requests)
    jobs = [stack.finished(long), *(request["job"] for request in requests)]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert {job["attempts"] for job in jobs} == {1}


def test_an_update_of_the_api_refuses_no_request(stack: Stack) -> None:
    before = set(stack.containers("api"))
    with stack.load() as requests:
        for _ in range(UPDATES):
            stack.compose("up", "-d", "--no-deps", "--force-recreate", "--wait", "api")
    assert not before & set(stack.containers("api"))
    assert [request["status"] for request in requests] == [202] * len(requests), requests
    assert {request["job"]["status"] for request in requests} == {"succeeded"}


def test_the_image_trains_as_well(stack: Stack, shared: Path) -> None:
    images = np.zeros((32, 8, 8, 1), np.uint8)
    np.savez(shared / "images.npz", images=images)
    (shared / "tiny.toml").write_text(TRAINING)
    mount = ("--volume", f"{shared}:/run/training")
    command = ("python", "-m", "models.train", "/run/training/tiny.toml", "--out")
    stack.compose("run", "--rm", "-T", *mount, "worker", *command, "/run/training/out")
    assert (shared / "out" / "checkpoint" / "model_index.json").is_file()


TRAINING = """
data = "/run/training/images.npz"

[network]
sample_size = 8
in_channels = 1
out_channels = 1
block_out_channels = [8, 16]
layers_per_block = 1
attention = [false, true]
norm_num_groups = 4

[optimiser]
batch = 8
images = 32
learning_rate = 1e-3
"""


def test_a_worker_without_a_model_says_so_in_its_log_and_at_readyz(stack: Stack) -> None:
    try:
        stack.compose("up", "-d", "--no-deps", "worker", MODELS="nowhere")
        until(lambda: "nowhere" in str(stack.call("GET", "/readyz").body), timeout_s=120)
        answer = stack.call("GET", "/readyz")
        assert answer.status == 503
        assert "One could not start: nowhere: " in answer.body["detail"]
        assert "cannot start: nowhere" in stack.compose("logs", "worker")
    finally:
        stack.compose("up", "-d", "--no-deps", "--wait", "worker")
    assert stack.call("GET", "/readyz").status == 200
