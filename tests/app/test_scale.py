"""What many clients and large jobs cost one API process."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from protocol.messages import MAX_IMAGES
from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker, picture
from tests.app.test_jobs import submit
from tests.conftest import RedisServer

JOBS = 20
LISTENERS, POLLS = 200, 500
FILES = 4096
THREADS = 60  # 40 of the pool for short reads, and some of the process's own
IDLE_MIB = 120


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for the sockets of all of them, here and in processes begun here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def calls(redis: Redis, *names: str) -> int:
    """How often commands were called so far."""
    stats = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


class Crowd:
    """Many clients of one process, on one event loop of ours. Plain sockets: a client's pool of
    700 connections would take longer than what is looked at."""

    def __init__(self, api: ApiProcess) -> None:
        self._port = api.port
        self.listening = 0

    async def listen(self, url: str) -> list[str]:
        """Names of the events of a stream, to its end."""
        names = []
        async for line in self._answer(url):
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
                self.listening += names[-1] == "snapshot"
        return names

    async def poll(self, url: str) -> str:
        """The status a long poll is answered with."""
        lines = [line async for line in self._answer(url, "Prefer: wait=60\r\n")]
        status: str = json.loads(lines[-1])["status"]
        return status

    async def _answer(self, url: str, header: str = "") -> AsyncIterator[str]:
        """Its lines, to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        writer.write(f"GET {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n".encode())
        async for line in reader:
            yield line.decode().strip()
        writer.close()


def test_seven_hundred_who_wait_are_all_answered_and_need_no_thread_each(
    many_files: None, redis_server: RedisServer, worker: PlayedWorker, redis: Redis
) -> None:
    with ApiProcess.start(redis_server.url) as api:
        with api.client() as client:
            body = {"n": 2, "sampler": "ddim"}
            jobs = [client.post("/v1/jobs", json=body).json() for _ in range(JOBS)]

        async def play() -> tuple[list[list[str]], list[str], int]:
            clients = Crowd(api)
            async with asyncio.TaskGroup() as tasks:
                told = [
                    tasks.create_task(clients.listen(jobs[k % JOBS]["urls"]["events"]))
                    for k in range(LISTENERS)
                ]
                polled = [
                    tasks.create_task(clients.poll(jobs[k % JOBS]["urls"]["self"]))
                    for k in range(POLLS)
                ]
                while clients.listening < LISTENERS or api.files() < LISTENERS + POLLS:
                    await asyncio.sleep(0.05)
                threads = api.threads()
                for job in jobs:
                    await asyncio.to_thread(worker.finish, job["id"])
            return [t.result() for t in told], [p.result() for p in polled], threads

        streams, polls, threads = asyncio.run(play())
    assert all(names.count("done") == 1 and names[-1] == "done" for names in streams)
    assert polls == ["succeeded"] * POLLS
    assert threads < THREADS


def test_listeners_of_one_job_share_what_is_read_of_it(
    many_files: None, redis_server: RedisServer, worker: PlayedWorker, redis: Redis
) -> None:
    """Each asks once whether it may; the rest is read for all of them."""
    with ApiProcess.start(redis_server.url) as api:
        with api.client() as client:
            job = client.post("/v1/jobs", json={"n": 8, "sampler": "ddim"}).json()

        async def play() -> int:
            clients = Crowd(api)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(LISTENERS):
                    tasks.create_task(clients.listen(job["urls"]["events"]))
                while clients.listening < LISTENERS:
                    await asyncio.sleep(0.05)
                before = calls(redis, "hgetall", "hmget")
                await asyncio.to_thread(worker.finish, job["id"])
            return calls(redis, "hgetall", "hmget") - before

        read = asyncio.run(play())
    assert read < LISTENERS / 4


def test_an_idle_process_is_small(redis_server: RedisServer, worker: PlayedWorker) -> None:
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/jobs", json={}).status_code == 202
        status = Path(f"/proc/{api.process.pid}/status").read_text()
    (resident_kib,) = [line.split()[1] for line in status.splitlines() if "VmRSS" in line]
    assert int(resident_kib) / 1024 <= IDLE_MIB


@contextmanager
def counted(redis: Redis) -> Iterator[dict[str, int]]:
    """Commands, keys and bytes sent, while it lasts."""

    def now() -> dict[str, int]:
        stats = redis.info("commandstats")
        return {
            "commands": sum(entry["calls"] for entry in stats.values()),
            "keys": redis.dbsize(),
            "bytes": redis.info("stats")["total_net_output_bytes"],
        }

    found = before = now()
    spent = dict.fromkeys(found, 0)
    yield spent
    spent.update({name: value - before[name] for name, value in now().items()})


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}], ids=["bare", "named"])
def test_a_hundred_thousand_images_cost_no_more_to_submit_than_a_few_shards(
    client: TestClient, worker: PlayedWorker, redis: Redis, key: dict[str, str]
) -> None:
    """Up to four shards are queued at once, however many there are to come."""
    cost = {}
    for n in (10, 128, MAX_IMAGES):
        redis.flushall()
        worker.announce()
        redis.config_resetstat()
        with counted(redis) as spent:
            client.post("/v1/jobs", json={"n": n}, headers=key)
        cost[n] = spent
        shards = redis.llen("rq:queue:tiny.normal")
        assert shards == min(4, -(-n // 32))
    assert cost[MAX_IMAGES]["commands"] <= cost[128]["commands"] + 5  # the listener's own
    assert cost[MAX_IMAGES]["keys"] == cost[128]["keys"]
    assert cost[MAX_IMAGES]["commands"] <= 4 * cost[10]["commands"]
    assert cost[MAX_IMAGES]["keys"] <= 4 * cost[10]["keys"]


def test_to_read_a_job_of_a_hundred_thousand_images_reads_a_thousand(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    read = {n: _reading(client, worker, redis, n) for n in (1001, MAX_IMAGES)}
    job, spent = read[MAX_IMAGES]
    assert (job["status"], job["progress"]["images_done"]) == ("succeeded", MAX_IMAGES)
    assert (len(job["images"]), job["images_truncated"]) == (1000, True)
    assert spent["commands"] <= read[1001][1]["commands"] + 5
    assert spent["bytes"] < 1.5 * read[1001][1]["bytes"]


def _reading(
    client: TestClient, worker: PlayedWorker, redis: Redis, n: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """A job of n finished images as it is read, and what that costs."""
    job_id = submit(client, n=n, sampler="ddim")["id"]
    held = worker.begin(job_id)
    _, manifest = picture(0)
    lines = {str(i): manifest.model_copy(update={"index": i}).model_dump_json() for i in range(n)}
    last = str(n - 1)
    del lines[last]
    redis.hset(keys.images(job_id), items=[part for line in lines.items() for part in line])
    redis.hset(keys.job(job_id), "images_done", n - 1)
    worker.commit(held, n - 1)  # by the script that ends jobs
    with counted(redis) as spent:
        job = client.get(f"/v1/jobs/{job_id}").json()
    return job, spent
