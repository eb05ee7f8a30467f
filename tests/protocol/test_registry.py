"""What the registry tells of workers."""

import time

import pytest
from redis import Redis

from protocol.messages import WorkerInfo
from protocol.registry import Registry
from protocol.webhook_store import WebhookStore


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


@pytest.mark.parametrize("off_s", [-7200.0, 7200.0])
def test_who_lives_is_no_matter_of_a_hosts_own_clock(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, off_s: float
) -> None:
    right = time.time
    registry, webhooks = Registry(redis), WebhookStore(redis)
    with monkeypatch.context() as wrong:
        wrong.setattr(time, "time", lambda: right() + off_s)
        registry.heartbeat(info())
        webhooks.heartbeat("s1")
        _are_there(registry, webhooks)
    _are_there(registry, webhooks)


def _are_there(registry: Registry, webhooks: WebhookStore) -> None:
    registry.forget_dead()
    assert [worker.name for worker in registry.live_workers()] == ["w1"]
    assert webhooks.live_senders() == ["s1"]
