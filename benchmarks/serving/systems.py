"""The three systems: each started, asked for images as its clients would, and stopped."""

import asyncio
import base64
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import redis.asyncio
from redis import Redis
from rq import Queue

from benchmarks.serving.drive import burst
from benchmarks.serving.load import Job
from launch.child import Child
from launch.redis_server import RedisFolder
from launch.settings import UpSettings, free_port
from launch.stack import embedded_redis, service
from launch.supervisor import Supervisor
from protocol.job_store import JobStore
from protocol.messages import WorkerInfo
from protocol.registry import Registry

LONG_POLL = {"Prefer": "wait=60"}
PATIENCE_S = 40.0
START_S = 180.0  # what loads torch, a model and diffusers
BEAT_S = 1.5  # after which a worker's counters are told
MOST_WAITING = 2000  # clients, each on a connection of its own
IDLE_S = 2.0  # of a connection: the servers close it after 5, perhaps just as we ask again


@dataclass(frozen=True)
class Setting:
    """What all systems have in common."""

    model: Path
    precision: str
    threads: int
    folder: Path  # for files that are gone afterwards


@dataclass(frozen=True)
class Told:
    """A worker's counters as of a moment, in time.time()."""

    at_s: float
    counters: Mapping[str, int]

    @property
    def steps(self) -> int:
        """Batched forwards since its start."""
        return self.counters.get("steps", 0)

    @property
    def row_steps(self) -> int:
        """Image-steps since its start."""
        return self.counters.get("row_steps", 0)


class System(Protocol):
    """What is measured."""

    async def draw(self, job: Job) -> float | None:
        """All images on the client's side; time.time() of the first step, where known."""

    async def work_done(self) -> tuple[int, int] | None:
        """Image-steps and batched forwards so far; None where every forward is one job's."""


class Denoised:
    """Over HTTP: submit, long poll, download every image."""

    def __init__(self, url: str, redis: Redis) -> None:
        self.url, self.redis = url, redis
        self._client = httpx2.AsyncClient(base_url=url, timeout=None, limits=_unlimited())
        self._store, self._registry = JobStore(redis), Registry(redis)

    async def draw(self, job: Job) -> float:
        found = await self._done(job)
        images = [self._client.get(image["url"]) for image in found["images"]]
        for image in await asyncio.gather(*images):
            image.raise_for_status()
        return self._first_step_at(found)

    async def draw_only(self, job: Job) -> float:
        """Like `draw`, without the download."""
        return self._first_step_at(await self._done(job))

    async def _done(self, job: Job) -> dict[str, Any]:
        sampler = {"name": job.sampler, "steps": job.steps}
        asked = {"n": job.n, "seed": job.seed, "sampler": sampler}
        answer = await self._client.post("/v1/jobs", json=asked, headers=LONG_POLL)
        found: dict[str, Any] = answer.raise_for_status().json()
        while not found["done"]:
            answer = await self._client.get(found["urls"]["self"], headers=LONG_POLL)
            found = answer.raise_for_status().json()
        if found["status"] != "succeeded":
            raise RuntimeError(f"a job ended as {found['status']}: {found['error']}")
        return found

    def _first_step_at(self, found: dict[str, Any]) -> float:
        record = self._store.get(found["id"])
        if record is None or record.first_step_at is None:
            raise RuntimeError(f"{found['id']} has ended without a step")
        return record.first_step_at

    async def work_done(self) -> tuple[int, int]:
        await asyncio.sleep(BEAT_S)
        told = self.told()
        return told.row_steps, told.steps

    def told(self) -> Told:
        """The worker's counters, and when it told them: both from one of its heartbeats."""
        heard = self._registry.heard(self.worker().name)
        if heard is None:
            raise RuntimeError("the worker has left")
        at_s, info = heard
        return Told(at_s, info.counters)

    def worker(self) -> WorkerInfo:
        """What the only worker last told of itself."""
        [worker] = self._registry.live_workers()
        return worker


class StaticBatching:
    """LitServe over HTTP."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(base_url=url, timeout=None, limits=_unlimited())
        self._done = (0, 0)

    async def draw(self, job: Job) -> float | None:
        found = json.loads(await self._line(job))
        images = [base64.b64decode(image) for image in found["images"]]
        assert len(images) == job.n
        self._done = max(self._done, (found["rows"], found["forwards"]))
        return float(found["first_step"])

    async def _line(self, job: Job) -> str:
        async with self._client.stream("POST", "/predict", json=asdict(job)) as answer:
            async for line in answer.raise_for_status().aiter_lines():
                return line  # the only one: the stream ends with the last of its company
        raise RuntimeError("an answer without images")

    async def work_done(self) -> tuple[int, int]:
        return self._done


class OneAtATime:
    """RQ alone: enqueue, wait for the answer's list."""

    def __init__(self, redis_url: str) -> None:
        self._queue = Queue("one", connection=Redis.from_url(redis_url))
        self._redis = redis.asyncio.Redis.from_url(
            redis_url, socket_timeout=None, max_connections=MOST_WAITING
        )

    async def draw(self, job: Job) -> float | None:
        answer = f"answer:{uuid.uuid4()}"
        self._queue.enqueue(
            "benchmarks.serving.rq_job.draw",
            **asdict(job),
            answer=answer,
            job_timeout=-1,
            result_ttl=0,
        )
        at = (await self._redis.blpop([answer]) or [])[1]
        images = await self._redis.lrange(answer, 0, -1)
        assert len(images) == job.n
        await self._redis.delete(answer)
        return float(json.loads(at))

    async def work_done(self) -> None:
        return None


@asynccontextmanager
async def denoised(setting: Setting) -> AsyncIterator[Denoised]:
    """Redis, API and worker as `make up` starts them, the worker's numerics its own choice."""
    settings = UpSettings(
        port=free_port(), host="127.0.0.1", data_dir=setting.folder / "data", model=setting.model
    )
    with service(settings, Supervisor(_say)) as url:
        system = Denoised(url, Redis.from_url(RedisFolder(settings.data_dir).url))
        await until_ok(f"{url}/readyz")
        yield system


@asynccontextmanager
async def static_batching(setting: Setting) -> AsyncIterator[StaticBatching]:
    """LitServe with one worker."""
    port = str(free_port())
    command = [
        *(sys.executable, "-m", "benchmarks.serving.litserve_server"),
        *(port, str(setting.model), setting.precision, str(setting.threads)),
    ]
    server = Child("litserve", command, {}, _say)
    try:
        with Supervisor(_say).running([server], patience_s=PATIENCE_S):
            await until_ok(f"http://127.0.0.1:{port}/health")
            yield StaticBatching(f"http://127.0.0.1:{port}")
    finally:
        if server.process:  # it leaves on SIGTERM, and its workers behind
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)


@asynccontextmanager
async def one_at_a_time(setting: Setting) -> AsyncIterator[OneAtATime]:
    """A Redis and RQ's SimpleWorker."""
    with embedded_redis(setting.folder / "one", Supervisor(_say)) as url:
        environment = {
            "PEER_MODEL": str(setting.model),
            "PEER_PRECISION": setting.precision,
            "PEER_THREADS": str(setting.threads),
            "PEER_REDIS_URL": url,
        }
        command = [sys.executable, "-m", "rq.cli", "worker", "-w", "rq.SimpleWorker"]
        worker = Child("rq", [*command, "-q", "-u", url, "one"], environment, _say)
        with Supervisor(_say).running([worker], patience_s=PATIENCE_S):
            system = OneAtATime(url)
            await burst(system.draw, [Job(1, "ddim", 2, 0)])  # loads the model
            yield system


async def until_ok(url: str) -> None:
    """Until it answers 200. Raises TimeoutError where it does not come to it."""
    async with asyncio.timeout(START_S), httpx2.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == httpx2.codes.OK:
                    return
            except httpx2.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.2)


def _unlimited() -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=None, max_keepalive_connections=64, keepalive_expiry=IDLE_S
    )


def _say(line: str) -> None:
    if "HTTP/1.1" not in line:
        sys.stderr.write(f"    {line.rstrip()}\n")
