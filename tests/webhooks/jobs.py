"""Jobs with a webhook, ended at once."""

from typing import Any

from redis import Redis

from protocol.messages import WebhookSpec
from protocol.webhook_store import Delivery, DeliveryState, WebhookStore, of_job
from tests.app.played_worker import PlayedWorker
from tests.conftest import until
from tests.jobs import submit

EVENTS = ("job.succeeded", "job.failed", "job.canceled")


def succeed(redis: Redis, url: str, **changes: Any) -> str:
    """A job that has succeeded, whose end is to be told at `url`."""
    spec = WebhookSpec(url=url, events=EVENTS)
    job_id = submit(redis, **{"webhook": spec, "n": 1} | changes)
    PlayedWorker(redis).finish(job_id)
    return job_id


def delivery(redis: Redis, job_id: str) -> Delivery:
    found = WebhookStore(redis).get(of_job(job_id))
    assert found is not None
    return found


def until_state(redis: Redis, job_id: str, state: DeliveryState) -> Delivery:
    def reached() -> Delivery | None:
        found = delivery(redis, job_id)
        return found if found.state is state else None

    return until(reached)


def until_tried(redis: Redis, job_id: str, times: int) -> Delivery:
    def tried() -> Delivery | None:
        found = delivery(redis, job_id)
        return found if len(found.attempts) >= times else None

    return until(tried)
