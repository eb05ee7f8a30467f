"""Webhook deliveries, as their tenant sees them: read, listed, tried, sent again."""

import copy
import re
from datetime import UTC, datetime
from typing import Self

import uuid_utils
from redis import Redis

from app.errors import DeliveryNotFound, FieldError, InvalidRequest
from app.page_tokens import seal, unseal
from app.records import find
from app.resources.deliveries import Delivery, DeliveryAttempt, DeliveryList, DeliveryUrls
from app.views import url_of
from protocol import webhook_store
from protocol.job_record import DEFAULT_TENANT
from protocol.job_store import JobStore
from protocol.webhook_policy import WebhookPolicy
from protocol.webhook_store import WebhookStore

POSITION = re.compile(r"\d{1,12}\.\d{6}")  # when it was given up


class DeliveryService:
    """Of a tenant. The sending itself is another process's."""

    tenant = DEFAULT_TENANT

    def __init__(self, redis: Redis, *, policy: WebhookPolicy) -> None:
        self._store = WebhookStore(redis)
        self._jobs = JobStore(redis)
        self._policy = policy

    def of(self, tenant: str) -> Self:
        """The same for another tenant, who sees deliveries of its own alone."""
        theirs = copy.copy(self)
        theirs.tenant = tenant
        return theirs

    def test(self, url: str) -> Delivery:
        """A `webhook.test` event on its way to a URL. Raises InvalidRequest."""
        if why := self._policy.objection(url):
            raise InvalidRequest([FieldError(pointer="/url", detail=why)])
        delivery_id = f"msg_{uuid_utils.uuid7().hex}"
        self._store.enqueue_test(delivery_id, url, tenant=self.tenant)
        return self.get(delivery_id)

    def get(self, delivery_id: str) -> Delivery:
        """As it stands. Raises DeliveryNotFound."""
        return _view(self._find(delivery_id))

    def of_job(self, job_id: str) -> Delivery:
        """Of the job's end. Raises DeliveryNotFound, JobNotFound, Expired."""
        record = find(self._jobs, job_id, tenant=self.tenant)
        try:
            return self.get(webhook_store.of_job(job_id))
        except DeliveryNotFound:
            if record.request.webhook is None:
                raise DeliveryNotFound("The job asks for no webhook.") from None
            why = (
                "has not ended" if not record.status.done else f"asks for none when {record.status}"
            )
            raise DeliveryNotFound(f"There is no delivery: the job {why}.") from None

    def replay(self, delivery_id: str) -> tuple[Delivery, bool]:
        """Sent again, at once, by the whole schedule; False where it is just being sent.

        Raises DeliveryNotFound.
        """
        begun = self._store.replay(self._find(delivery_id))
        return self.get(delivery_id), begun

    def failed(self, *, page_size: int, page_token: str | None) -> DeliveryList:
        """Those given up, newest first. Raises InvalidRequest for a token of another list."""
        of = f"failed webhooks {self.tenant}"
        before = None if page_token is None else unseal(page_token, of=of, shape=POSITION)[0]
        found, rest = self._store.failed(self.tenant, before=before, limit=page_size)
        return DeliveryList(
            data=[_view(delivery) for delivery in found],
            next_page_token=None if rest is None else seal(rest, of=of),
        )

    def _find(self, delivery_id: str) -> webhook_store.Delivery:
        found = self._store.get(delivery_id)
        if found is None or found.tenant != self.tenant:
            raise DeliveryNotFound(f"There is no delivery {delivery_id}.")
        return found


def _view(found: webhook_store.Delivery) -> Delivery:
    url = f"/v1/webhooks/{found.id}"
    return Delivery(
        id=found.id,
        type=found.type,
        url=found.url,
        state=found.state,
        created_at=_time(found.occurred_at),
        next_attempt_at=None if found.next_at is None else _time(found.next_at),
        attempts=[
            DeliveryAttempt(at=_time(tried.at), status=tried.status, error=tried.error)
            for tried in found.attempts
        ],
        urls=DeliveryUrls(
            self=url,
            replay=f"{url}/replay",
            job=None if found.job_id is None else url_of(found.job_id),
        ),
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
