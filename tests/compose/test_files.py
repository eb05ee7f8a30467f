"""What the compose command itself makes of the files."""

import subprocess

import pytest

from tests.compose.conftest import CPU, with_everything_removed
from tests.compose.stack import Stack


def test_a_missing_secret_stops_the_start_and_says_which(environment: dict[str, str]) -> None:
    without = environment | {"REDIS_PASSWORD_FILE": ""}
    said = Stack("denoised-nothing", CPU, without).compose("config", "--quiet", check=False)
    assert "REDIS_PASSWORD_FILE" in said
    assert "make secrets" in said


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_builder_finds_nothing_to_warn_of(name: str) -> None:
    check = ["docker", "build", "--check", "-f", f"docker/{name}.Dockerfile", "."]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_for_a_gpu_starts_where_the_engine_has_one(environment: dict[str, str]) -> None:
    """WORKER_DEVICE=auto where that engine only claims to have one."""
    stack = Stack("denoised-test-gpu", CPU[:1], environment)
    with_everything_removed(stack)
    try:
        said = stack.compose("up", "--detach", "--build", "--wait", check=False)
        if "could not select device driver" in said:
            pytest.skip("the engine has no NVIDIA driver")
        answer = stack.call("POST", "/v1/jobs", {"n": 2, "sampler": "ddim"}, prefer="wait=60")
        assert answer.status == 200, (answer, said)
        (worker,) = stack.containers("worker")
        (request,) = stack.inspect(worker)["HostConfig"]["DeviceRequests"]
        assert request["Driver"] == "nvidia"
        assert request["Count"] == -1, "all of them"
    finally:
        with_everything_removed(stack)
