"""What is sent: small, linked, and the same whenever it is made."""

import json
from dataclasses import replace
from typing import Any

import pytest

from protocol.messages import JobAbout, JobError
from protocol.webhook_store import Delivery, DeliveryState
from webhooks.event import body
from webhooks.settings import MAX_PUBLIC_URL_CHARACTERS

LIMIT_BYTES = 20_000
TOLD = Delivery(
    id=f"msg_{'0' * 32}",
    tenant="default",
    type="job.succeeded",
    url="https://example.org",
    occurred_at=1_800_000_000.25,
    state=DeliveryState.PENDING,
    tries=0,
    attempts=(),
    next_at=0.0,
    lease="",
    job_id=f"job_{'0' * 32}",
    about=JobAbout(task="sample", model="tiny", metadata={"order": 7}),
    images_done=4,
    n=4,
    error=None,
)


def event(delivery: Delivery, public_url: str = "") -> Any:
    return json.loads(body(delivery, public_url=public_url))


def test_it_says_what_has_ended_and_where_to_look() -> None:
    url = f"/v1/jobs/{TOLD.job_id}"
    assert event(TOLD) == {
        "type": "job.succeeded",
        "timestamp": "2027-01-15T08:00:00.250000Z",
        "data": {
            "id": TOLD.job_id,
            "object": "job",
            "status": "succeeded",
            "task": "sample",
            "model": "tiny",
            "images_done": 4,
            "images_total": 4,
            "error": None,
            "urls": {
                "self": url,
                "images": f"{url}/images",
                "archive": f"{url}/archive.zip",
                "grid": f"{url}/grid.png",
            },
            "metadata": {"order": 7},
        },
    }


def test_links_are_whole_where_the_service_knows_its_address() -> None:
    links = event(TOLD, "https://images.example.org")["data"]["urls"]
    assert links["self"] == f"https://images.example.org/v1/jobs/{TOLD.job_id}"


def test_a_later_attempt_sends_the_same() -> None:
    later = replace(TOLD, tries=5, next_at=9.0, lease="x")
    assert body(later, public_url="") == body(TOLD, public_url="")


def test_a_test_says_that_it_is_one() -> None:
    assert event(replace(TOLD, type="webhook.test", job_id=None, about=None))["data"] == {}


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", '"', "\x00"])
def test_it_stays_under_twenty_kilobytes(character: str) -> None:
    error = JobError(code="c", title="t", detail=character * 100_000)
    metadata = {"k": character * (1000 // len(json.dumps(character, ensure_ascii=False)))}
    about = JobAbout(task="sample", model="tiny", metadata=metadata)
    full = replace(TOLD, type="job.failed", error=error, about=about)
    text = body(full, public_url="a" * MAX_PUBLIC_URL_CHARACTERS)
    assert len(text.encode()) < LIMIT_BYTES
    assert json.loads(text)["data"]["error"]["detail"].endswith("(the job says the rest)")
