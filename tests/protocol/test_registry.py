"""What the registry tells of workers."""

import time

from redis import Redis

from protocol.messages import WorkerInfo
from protocol.registry import Registry


def info(**counters: int) -> WorkerInfo:
    return WorkerInfo(
        name="w1", model="tiny", device="cpu", precision="float32", engine="e", counters=counters
    )


def test_the_last_word_of_a_worker_comes_with_its_time(redis: Redis) -> None:
    registry = Registry(redis)
    assert registry.heard("w1") is None
    before_s = time.time()
    registry.heartbeat(info(steps=1))
    registry.heartbeat(info(steps=2))
    heard = registry.heard("w1")
    assert heard is not None
    at_s, said = heard
    assert before_s - 0.001 <= at_s <= time.time() + 0.001
    assert said.counters == {"steps": 2}
    registry.leave("w1")
    assert registry.heard("w1") is None
