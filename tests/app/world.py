"""A service in a state that a test has chosen, and what can be asked of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from tests.app.operations import Operation
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer, until


@dataclass
class World:
    """A service with a live worker and an empty queue, and what can be done to it."""

    server: RedisServer
    redis: Redis
    worker: PlayedWorker
    client: TestClient  # of a service without keys
    keyed: TestClient  # of one with the keys of `owners`
    slow: Callable[[str], Response]  # a body that does not end, sent to a path

    def job(self, **body: Any) -> str:
        response = self.client.post("/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return cast(str, response.json()["id"])

    def finished(self) -> str:
        job_id = self.job()
        self.worker.finish(job_id)
        return job_id

    def told(self) -> str:
        """A finished job whose end is to be told to a webhook."""
        job_id = self.job(webhook={"url": "https://example.org/hook"})
        self.worker.finish(job_id)
        return job_id

    def gone(self) -> str:
        """A job whose record has expired."""
        job_id = self.finished()
        self.redis.delete(keys.job(job_id))
        return job_id

    def ask(self, operation: Operation, job_id: str, **options: Any) -> Response:
        return self.client.request(
            operation.method, operation.url(job_id), **(operation.body() | options)
        )

    def without_disk(self, ask: Callable[[], Response]) -> Response:
        """What is answered while Redis cannot write a snapshot that it should."""
        in_the_way = self.server.folder / "dump.rdb"
        in_the_way.mkdir()
        self.redis.config_set("save", "3600 1000000")
        self.redis.bgsave()
        try:
            until(self._could_not_save)
            return ask()
        finally:
            self.redis.config_set("save", "")
            in_the_way.rmdir()

    def _could_not_save(self) -> bool:
        """The status alone may be that of a time before."""
        found = self.redis.info("persistence")
        return not found["rdb_bgsave_in_progress"] and found["rdb_last_bgsave_status"] == "err"

    def full(self, ask: Callable[[], Response]) -> Response:
        """What is answered while Redis refuses writes."""
        self.redis.config_set("maxmemory", 1)
        try:
            return ask()
        finally:
            self.redis.config_set("maxmemory", 0)
