"""Whoever can write to Redis must not run code in a worker, nor stop it."""

import os
import pickle
import time
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import DefaultSerializer, JSONSerializer

from protocol.shard_queue import TASK, queue_name
from protocol.states import JobState
from tests.conftest import Workers, until
from tests.jobs import record, submit

QUEUE = queue_name("tiny", "normal")  # type: ignore[arg-type]


class Bomb:
    """Runs a command in whoever unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def enqueued(redis: Redis, function: str, *args: Any, **options: Any) -> Job:
    """By RQ itself, as anybody with its library can."""
    queue = Queue(QUEUE, connection=redis, serializer=options.pop("serializer", JSONSerializer))
    return queue.enqueue_call(function, args=args, **options)


def forged(redis: Redis, **fields: bytes | str) -> None:
    """A record written by hand, and its id at the front of the queue."""
    rq_id = uuid.uuid4().hex
    if fields:
        whole: dict[Any, Any] = {"origin": QUEUE, "status": "queued", **fields}
        redis.hset(f"rq:job:{rq_id}", mapping=whole)
    redis.lpush(f"rq:queue:{QUEUE}", rq_id)


def callbacks(redis: Redis, trace: Path) -> None:
    """A shard of ours, whose record wants a command called back whatever its end."""
    job = enqueued(redis, TASK, kwargs={"message": {"job_id": "job_" + "0" * 32, "shard": 0}})
    ends = ("success", "failure", "stopped")
    named: dict[Any, Any] = {f"{end}_callback_name": "os.system" for end in ends}
    redis.hset(job.key, mapping=named)


HOSTILE: dict[str, Callable[[Redis, Path], object]] = {
    "a command": lambda redis, trace: enqueued(redis, "os.system", f"touch {trace}"),
    "code": lambda redis, trace: enqueued(redis, "builtins.exec", f"open({str(trace)!r}, 'w')"),
    "a pickle bomb as arguments": lambda redis, trace: enqueued(
        redis, TASK, Bomb(trace), serializer=DefaultSerializer
    ),
    "a pickle bomb as the whole": lambda redis, trace: forged(
        redis, data=zlib.compress(pickle.dumps(Bomb(trace)))
    ),
    "a pickle bomb as meta": lambda redis, trace: forged(
        redis, data=zlib.compress(b'["x", null, [], {}]'), meta=pickle.dumps(Bomb(trace))
    ),
    "a method of an instance": lambda redis, trace: forged(
        redis, data=zlib.compress(f'["system", "os", ["touch {trace}"], {{}}]'.encode())
    ),
    "callbacks": callbacks,
    "an id without a record": lambda redis, trace: forged(redis),
    "a record of nothing": lambda redis, trace: forged(redis, data=""),
    "data that is not compressed": lambda redis, trace: forged(redis, data=b"\xff\xfe"),
    "data that is not JSON": lambda redis, trace: forged(redis, data=zlib.compress(b"[")),
    "data of another shape": lambda redis, trace: forged(redis, data=zlib.compress(b"{}")),
    "a date that is none": lambda redis, trace: forged(
        redis, data=zlib.compress(b'["x", null, [], {}]'), created_at="yesterday"
    ),
    "a number that is none": lambda redis, trace: forged(
        redis, data=zlib.compress(b'["x", null, [], {}]'), timeout="soon", retries_left="many"
    ),
    "a status that is none": lambda redis, trace: forged(
        redis, data=zlib.compress(b'["x", null, [], {}]'), status="splendid"
    ),
    "another type than a hash": lambda redis, trace: (
        redis.lpush("rq:job:list", 1) and redis.lpush(f"rq:queue:{QUEUE}", "list")
    ),
    "an id that is not text": lambda redis, trace: redis.lpush(f"rq:queue:{QUEUE}", b"\xff\x00"),
    "an id that RQ does not allow": lambda redis, trace: redis.lpush(
        f"rq:queue:{QUEUE}", "no id: of RQ"
    ),
    "a lease that is not text": lambda redis, trace: redis.zadd(
        f"rq:wip:{QUEUE}", {b"\xff:\xfe": 1}
    ),
    "a lease of nothing": lambda redis, trace: redis.zadd(f"rq:wip:{QUEUE}", {"none:1": 1}),
    "a failure that is not text": lambda redis, trace: redis.zadd(
        f"rq:failed:{QUEUE}", {b"\xff-3": 2**40}
    ),
    "a message that is not one of ours": lambda redis, trace: enqueued(
        redis, TASK, kwargs={"message": {"job_id": "../../etc/passwd", "shard": -1}}
    ),
    "a message of a job that is not there": lambda redis, trace: enqueued(
        redis, TASK, kwargs={"message": {"job_id": "job_" + "f" * 32, "shard": 0}}
    ),
}


def test_hostile_records_are_not_run_and_the_worker_lives_on(
    redis: Redis, workers: Workers, tiny_model: Path, tmp_path: Path
) -> None:
    process = workers.start(tiny_model)
    trace = tmp_path / "trace"
    for name, push in HOSTILE.items():
        push(redis, trace)
        honest = submit(redis, n=1)
        until(lambda: record(redis, honest).status.done)  # noqa: B023  # awaited before the next
        assert process.poll() is None, f"the worker died of {name}"
        assert record(redis, honest).status is JobState.SUCCEEDED, name
        assert not trace.exists(), f"{name} was run"
    taken = Queue(QUEUE, connection=redis).intermediate_queue_key
    until(lambda: not redis.llen(taken) and not redis.zcard(f"rq:wip:{QUEUE}"))
    at = time.time()
    until(lambda: workers.heard(process) > at)  # the thread that meets them still lives
    assert redis.llen(f"rq:queue:{QUEUE}") == 0
