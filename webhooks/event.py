"""What is sent: thin, links instead of images, the same for every attempt. Pure."""

import json
from datetime import UTC, datetime
from typing import Any

from protocol.messages import JobAbout, JobError
from protocol.webhook_store import Delivery

MAX_DETAIL_CHARACTERS = 1000  # of an error; the job has all of it


def body(delivery: Delivery, *, public_url: str) -> str:
    """The JSON document. `public_url` goes before every path; "" leaves paths."""
    event = {
        "type": delivery.type,
        "timestamp": _rfc3339(delivery.occurred_at),
        "data": {} if delivery.about is None else _job(delivery, delivery.about, public_url),
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _job(delivery: Delivery, about: JobAbout, public_url: str) -> dict[str, Any]:
    url = f"{public_url}/v1/jobs/{delivery.job_id}"
    return {
        "id": delivery.job_id,
        "object": "job",
        "status": delivery.type.removeprefix("job."),
        "task": about.task,
        "model": about.model,
        "images_done": delivery.images_done,
        "images_total": delivery.n,
        "error": None if delivery.error is None else _error(delivery.error),
        "urls": {
            "self": url,
            "images": f"{url}/images",
            "archive": f"{url}/archive.zip",
            "grid": f"{url}/grid.png",
        },
        "metadata": about.metadata,
    }


def _error(error: JobError) -> dict[str, str]:
    detail = error.detail
    if len(detail) > MAX_DETAIL_CHARACTERS:
        detail = f"{detail[:MAX_DETAIL_CHARACTERS]} ... (the job says the rest)"
    return {"code": error.code, "title": error.title, "detail": detail}


def _rfc3339(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
