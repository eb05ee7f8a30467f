"""A running `docker compose` project, and a way to its published port.

COMPOSE_TEST_REACH is put before the commands that call the port, for an engine whose ports are
published elsewhere than here: `nsenter -n -t PID --`. COMPOSE_TEST_PORT chooses another port.
What the compose files read is passed on: `TORCH_INDEX=` where pip finds torch for the CPU by
itself, `WORKER_DEVICE=auto` where the engine only pretends to have a GPU.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, until

PORT = os.environ.get("COMPOSE_TEST_PORT", "18000")
REACH = shlex.split(os.environ.get("COMPOSE_TEST_REACH", ""))
CALL = Path(__file__).with_name("call.py")
PATIENCE_S = 900


@dataclass
class Answer:
    """Of the API: a JSON body is read."""

    status: int
    body: Any


@dataclass
class Stack:
    """A project of its own name, from files of the repository; `.env` is not read."""

    project: str
    files: Sequence[str]
    environment: Mapping[str, str]
    url: str = field(default=f"http://127.0.0.1:{PORT}", init=False)

    def compose(self, *words: str, check: bool = True, **environment: str) -> str:
        """What a compose command says on both streams. Raises AssertionError where it fails."""
        files = [word for name in self.files for word in ("--file", name)]
        done = subprocess.run(
            ["docker", "compose", "--env-file", "/dev/null", "-p", self.project, *files, *words],
            cwd=ROOT,
            env=os.environ | {"PORT": PORT} | dict(self.environment) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0 or not check, f"compose {' '.join(words)}:\n{done.stdout}"
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self.compose("ps", "-q", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine knows of one."""
        found = subprocess.check_output(["docker", "inspect", container])
        described: dict[str, Any] = json.loads(found)[0]
        return described

    def call(self, method: str, path: str, body: object = None, prefer: str = "") -> Answer:
        """A request to the published port."""
        words = [method, f"{self.url}{path}", json.dumps(body) if body is not None else "", prefer]
        command = [*REACH, sys.executable, str(CALL), *words]
        said = json.loads(subprocess.check_output(command, timeout=120))
        return Answer(said["status"], said["body"])

    def submit(self, **job: object) -> str:
        """The id of an accepted job."""
        answer = self.call("POST", "/v1/jobs", job)
        assert answer.status == 202, answer
        return str(answer.body["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now."""
        answer = self.call("GET", f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body
        return found

    def finished(self, job_id: str) -> dict[str, Any]:
        """A job once it is done."""
        until(lambda: self.job(job_id)["done"], timeout_s=300)
        return self.job(job_id)

    def begun(self, job_id: str) -> None:
        """Wait until steps of it were taken."""
        until(lambda: self.job(job_id)["progress"]["steps_done"], timeout_s=120)

    def redis(self, *words: str) -> list[str]:
        """Lines that redis-cli answers."""
        ask = 'REDISCLI_AUTH=$(cat /run/secrets/redis-password) exec redis-cli "$@"'
        return self.compose("exec", "-T", "redis", "sh", "-c", ask, "sh", *words).splitlines()

    @contextmanager
    def load(self) -> "Iterator[list[dict[str, Any]]]":
        """Small jobs, one after the other, for as long as this is entered; then what became of each
        request for one."""
        requests: list[dict[str, Any]] = []
        command = [*REACH, sys.executable, str(CALL), "load", self.url]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield requests
            said, _ = process.communicate(timeout=300)
        requests += json.loads(said)
