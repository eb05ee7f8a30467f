"""The command `denoised`: what it writes where, and what its exit status means."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from denoised_client import Client
from denoised_client.cli.main import main

from protocol import keys
from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker, picture
from tests.client.command import denoised
from tests.client.cutting_proxy import CuttingProxy

NO_TEXT = b"\xff".decode(errors="surrogateescape")  # an argument that is not UTF-8


@contextmanager
def finishing(worker: PlayedWorker) -> Iterator[None]:
    """While the context lasts every job that comes in is done at once."""
    leaving = threading.Event()

    def finish_all() -> None:
        while not leaving.wait(0.02):
            for job_id in worker.redis.zrange(keys.waiting("tiny"), 0, -1):
                assert isinstance(job_id, bytes)
                worker.finish(job_id.decode())

    thread = threading.Thread(target=finish_all)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def test_sample_saves_the_images_and_tells_the_job_as_json(
    api: ApiProcess, worker: PlayedWorker, tmp_path: Path
) -> None:
    asked = ["-n", "2", "--seed", "7", "--sampler", "ddim", "--steps", "20", "--json"]
    asked += ["--metadata", "for=me"]
    with finishing(worker):
        ended = denoised(api.url, "sample", *asked, "-o", tmp_path / "out")
    assert ended.status == 0, ended.err
    job = json.loads(ended.out)
    assert job["status"] == "succeeded"
    assert job["request"]["seed"] == 7
    assert job["request"]["sampler"]["steps"] == 20
    assert job["metadata"] == {"for": "me"}
    assert ended.err == f"{job['id']} queued\n"
    files = sorted((tmp_path / "out").iterdir())
    assert [file.read_bytes() for file in files] == [picture(0)[0], picture(1)[0]]


def test_images_of_jobs_and_of_files_are_varied_and_interpolated(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = onlooker.sample(n=4)
    worker.finish(job.id)
    file = tmp_path / "three.png"
    file.write_bytes(picture(3)[0])
    detached = "--detach", "--json"
    varied = denoised(api.url, "variations", file, "-t", "500", "-n", "2", *detached)
    assert varied.status == 0, varied.err
    assert json.loads(varied.out)["request"]["image"]["job"] is None
    lambdas = "--lambda", "0.25", "--lambda", "0.5"
    between = denoised(
        api.url, "interpolate", f"{job.id}:3", file, "-t", "500", *lambdas, *detached
    )
    request = json.loads(between.out)["request"]
    assert request["lambdas"] == [0.25, 0.5]
    assert request["image_a"]["job"] == job.id
    assert request["image_a"]["pixels_sha256"] == request["image_b"]["pixels_sha256"]


def test_a_job_is_shown_canceled_and_downloaded(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = onlooker.sample(n=2)
    held = worker.begin(job.id)
    worker.commit(held, 1)
    assert json.loads(denoised(api.url, "show", job.id).out)["status"] == "running"
    canceled = denoised(api.url, "cancel", job.id)
    assert canceled.out == f"{job.id} canceling, 1/2 images\n"
    worker.store.leave_shard(held)
    downloaded = denoised(api.url, "download", job.id, "-o", tmp_path)
    assert downloaded.status == 1
    assert downloaded.out == f"{job.id} canceled, 1/2 images\n"
    assert [file.name for file in tmp_path.iterdir()] == ["000001.png"]


def test_models_are_listed_in_columns_or_as_documents(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    told = denoised(api.url, "models")
    assert told.out == "tiny  8x8x1  T=1000  ddpm,ddim,dpmpp-2m  1 worker\n"
    [document] = denoised(api.url, "models", "--json").out.splitlines()
    assert json.loads(document)["name"] == "tiny"


def test_a_failed_job_is_status_1_and_still_told(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = onlooker.sample(n=2)
    worker.fail(job.id)
    ended = denoised(api.url, "download", job.id, "-o", tmp_path, "--json")
    assert ended.status == 1
    assert json.loads(ended.out)["error"]["code"] == "worker_lost"
    assert ended.err == f"denoised: {job.id} failed: three times\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["sample", "-n", "many"], "'many' is not a valid integer"),
        (["sample", "--steps", "9"], "--steps needs --sampler"),
        (["sample", "--metadata", "novalue"], "KEY=VALUE"),
        (["variations", "no-such.png", "-t", "5"], "neither a file nor JOB:INDEX"),
        (["--url", "localhost:8000", "models"], "http://"),
        (["--api-key-file", "/dev/null", "models"], "/dev/null"),
        (["dream"], "No such command"),
        (["--url", "http://localhost:abc", "models"], "http://localhost:abc"),
        (["--url", "http://[::1", "models"], "http://[::1"),
        (["sample", "--sampler", "ddim", "--eta", "nan"], "sampler: "),
        (["sample", "--guidance", "inf"], "guidance: "),
        (["sample", "--idempotency-key", "Größe"], "idempotency key"),
        (["sample", "--idempotency-key", ""], "idempotency key"),
        (["sample", "--model", NO_TEXT], "model: "),
        (["jobs", "--status", NO_TEXT], "status: "),
        (["sample", "--label", "1" * 5000], "--label"),
        (["variations", f"job_1:{'1' * 5000}", "-t", "5"], "too long"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: it never gets as far as a connection."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


@pytest.mark.parametrize("proxy", ["socks5://localhost:1", "http://[::1", "carrier-pigeon://loft"])
def test_a_proxy_that_cannot_be_used_is_status_2(
    proxy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert main(["models"]) == 2
    assert "proxy" in capsys.readouterr().err


def test_what_the_service_refuses_is_status_3_with_each_field(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    ended = denoised(api.url, "sample", "-n", "0", "--seed", "-1")
    assert (ended.status, ended.out) == (3, "")
    assert ended.err.startswith("denoised: invalid_request (422): ")
    assert "\n  /n: " in ended.err
    assert "\n  /seed: " in ended.err


def test_no_service_is_status_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging_up:
        port = hanging_up.getsockname()[1]
        threading.Thread(target=lambda: hanging_up.accept()[0].close()).start()
        ended = denoised(f"http://127.0.0.1:{port}", "--retries", "0", "models")
    assert (ended.status, ended.out) == (4, "")
    assert ended.err.startswith(f"denoised: http://127.0.0.1:{port}: ")


def test_the_key_of_a_file_is_sent_and_never_written(
    api: ApiProcess, proxy: CuttingProxy, worker: PlayedWorker, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("dk_secret\n\n")
    ended = denoised(proxy.url, "--api-key-file", file, "models")
    assert any("\r\nAuthorization: Bearer dk_secret\r\n" in head for head in proxy.heads)
    refused = denoised("http://127.0.0.1:1", "--api-key-file", file, "--retries", "0", "models")
    assert "dk_secret" not in ended.out + ended.err + refused.out + refused.err


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_DENOISED_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_the_script_completes_our_commands() -> None:
    asked = {"COMP_WORDS": "denoised inter", "COMP_CWORD": "1"}
    told = denoised("http://127.0.0.1:1", _DENOISED_COMPLETE="bash_complete", **asked)
    assert told.out == "plain,interpolate\n"
