"""What /metrics tells beyond /v1/stats: counts of all workers and senders, ages, memory."""

import time
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from redis import Redis

from protocol.counted import STEP_BOUNDS_S, STEP_BUCKETS, STEP_US, Count
from protocol.counts import WEBHOOK_ATTEMPTS, Counts, oldest_waiting
from protocol.registry import Registry
from protocol.webhook_store import DeliveryState, WebhookStore

TEXTS = {
    Count.IMAGES: "Images that were made.",
    Count.IMAGE_BYTES: "Bytes of the PNG files stored.",
    Count.BEGUN: "Runs of shards.",
    Count.RETRIED: "Runs of shards that had been begun before.",
    Count.GIVEN_BACK: "Runs of shards given back unfinished by workers that left.",
    Count.ABANDONED: "Shards found without their worker.",
    Count.FENCED: "Images refused because another run had the shard.",
    Count.DRAINS: "Workers that were asked to finish and leave.",
    Count.CRASHES: "Engines that a step or their heartbeat broke.",
}


class Totals:
    """Read in a few round trips, whatever there is."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._counts, self._registry = redis, Counts(redis), Registry(redis)
        self._deliveries = WebhookStore(redis)

    def read(self) -> list[Metric]:
        """As of now. Raises RedisError."""
        models = list(self._registry.models())
        counted = self._counts.read()
        return [
            *_of_workers(counted, models),
            _step_seconds(counted, models),
            _webhook_attempts(counted),
            self._queue_age(models),
            *self._webhooks(),
            *self._memory(),
        ]

    def _queue_age(self, models: list[str]) -> Metric:
        age = GaugeMetricFamily(
            "denoised_queue_age_seconds",
            "How long the oldest job that has not begun has waited; 0 without one.",
            labels=["model"],
        )
        oldest, now = oldest_waiting(self._redis, models), time.time()
        for model in models:
            age.add_metric([model], max(0.0, now - oldest.get(model, now)))
        return age

    def _webhooks(self) -> Iterator[Metric]:
        open_, senders = self._deliveries.open(), len(self._deliveries.live_senders())
        yield GaugeMetricFamily("denoised_webhooks_open", "Deliveries not over.", value=open_)
        yield GaugeMetricFamily("denoised_webhook_senders", "Live senders.", value=senders)

    def _memory(self) -> Iterator[Metric]:
        memory = self._redis.info("memory")
        for name, text, value in (
            ("used", "Bytes that Redis uses.", memory["used_memory"]),
            ("max", "Redis's maxmemory in bytes; 0: no limit.", memory["maxmemory"]),
        ):
            yield GaugeMetricFamily(f"denoised_redis_memory_{name}_bytes", text, value=value)


def _of_workers(counted: dict[tuple[str, str], int], models: list[str]) -> Iterator[Metric]:
    """From 0 on, so that the first of anything is an increase."""
    for count, text in TEXTS.items():
        family = CounterMetricFamily(f"denoised_{count}", text, labels=["model"])
        for model in models:
            family.add_metric([model], counted.get((count, model), 0))
        yield family


def _step_seconds(counted: dict[tuple[str, str], int], models: list[str]) -> Metric:
    family = HistogramMetricFamily(
        "denoised_step_seconds", "A denoising step, of any number of rows.", labels=["model"]
    )
    bounds = [*map(str, STEP_BOUNDS_S), "+Inf"]
    for model in models:
        sums = accumulate(counted.get((bucket, model), 0) for bucket in STEP_BUCKETS)
        seconds = 1e-6 * counted.get((STEP_US, model), 0)
        family.add_metric([model], list(zip(bounds, sums, strict=True)), seconds)
    return family


def _webhook_attempts(counted: dict[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(
        "denoised_webhook_attempts",
        "Attempts to deliver, by the delivery's state afterwards.",
        labels=["state"],
    )
    for state in DeliveryState:
        family.add_metric([state], counted.get((WEBHOOK_ATTEMPTS, state), 0))
    return family
