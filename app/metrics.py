"""What a Prometheus server is told: requests as they are answered, the rest when it asks.

Labels have few values, whatever clients send: routes as written, known methods, statuses, models.
"""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from app.events import JobEvents
from app.resources.system import Stats
from app.stats import StatsService
from app.totals import Totals

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0)  # polls may wait


class Metrics:
    """In a registry of its own: of this app alone, also where a process has several."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, that nobody reads
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "denoised_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "denoised_http_request_seconds",
            "From a request's head to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, route or "none", str(status)).inc()
        self._seconds.labels(known, route or "none").observe(seconds)

    def text(self, stats: StatsService, events: JobEvents, totals: Totals) -> bytes:
        """All of it, in Prometheus's text format. Redis being away is one of the figures."""
        now = CollectorRegistry()
        now.register(_Now(stats, events, totals))
        return generate_latest(self._registry) + generate_latest(now)


class _Now(Collector):
    """What is looked up when somebody asks."""

    def __init__(self, stats: StatsService, events: JobEvents, totals: Totals) -> None:
        self._stats, self._events, self._totals = stats, events, totals

    def collect(self) -> Iterator[Metric]:
        """Gauges, and what others have counted."""
        yield _gauge(
            "http_waiters",
            "Requests held until a job is done, and event streams by job.",
            self._events.waiters,
        )
        try:
            stats, totals = self._stats.read(), self._totals.read()
        except RedisError:
            yield _gauge("redis_up", "Whether Redis answers.", 0)
            return
        yield _gauge("redis_up", "Whether Redis answers.", 1)
        yield from _of_queues(stats)
        yield from _of_workers(stats)
        yield from totals


def _of_queues(stats: Stats) -> Iterator[Metric]:
    yield _gauge("queued_images", "Images accepted and not yet made.", stats.images_queued)
    yield _gauge("waiting_jobs", "Jobs that have not begun.", stats.jobs_waiting)
    labels = ["model", "priority"]
    images = GaugeMetricFamily(
        "denoised_queue_images", "Images accepted and not yet made.", labels=labels
    )
    shards = GaugeMetricFamily("denoised_queue_shards", "Shards in the queue.", labels=labels)
    for queue in stats.queues:
        images.add_metric([queue.model, queue.priority], queue.images)
        shards.add_metric([queue.model, queue.priority], queue.shards)
    yield images
    yield shards


def _of_workers(stats: Stats) -> Iterator[Metric]:
    """By model: workers come and go under ever new names."""
    names = sorted({worker.model for worker in stats.workers})
    for name, text in (
        ("rows_running", "Images under way in live workers."),
        ("images_per_s", "Images finished a second, over the last seconds."),
    ):
        family = GaugeMetricFamily(f"denoised_{name}", text, labels=["model"])
        for model in names:
            own = [worker for worker in stats.workers if worker.model == model]
            family.add_metric([model], sum(getattr(worker.load, name) for worker in own))
        yield family
    workers = GaugeMetricFamily("denoised_workers", "Live workers.", labels=["model"])
    for model in names:
        workers.add_metric([model], sum(worker.model == model for worker in stats.workers))
    yield workers
    yield _gauge("occupancy", "Rows of a step, by its width; of the busy.", stats.occupancy)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"denoised_{name}", text, value=value)
