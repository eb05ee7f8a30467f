"""What a job says of its webhook: whether it may be, and all of it spelled out. Pure."""

from collections.abc import Iterator
from typing import get_args

from app.errors import FieldError
from app.schemas import JobSubmission
from protocol.messages import WebhookEvent, WebhookSpec
from protocol.webhook_policy import WebhookPolicy


def objections(asked: JobSubmission, policy: WebhookPolicy) -> Iterator[FieldError]:
    """Why nobody can be told like that."""
    if asked.webhook is not None and (why := policy.objection(asked.webhook.url)):
        yield FieldError(pointer="/webhook/url", detail=why)


def resolved(asked: JobSubmission) -> WebhookSpec | None:
    """With its events in the order in which we list them, each once."""
    if asked.webhook is None:
        return None
    wanted = tuple(event for event in get_args(WebhookEvent) if event in asked.webhook.events)
    return WebhookSpec(url=asked.webhook.url, events=wanted)
