"""/v1/webhooks and /v1/jobs/{job_id}/webhook: what became of deliveries."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.deps import Deliveries, DeliveryId, JobId, PageToken, json_only
from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeliveryNotFound,
    Expired,
    InvalidRequest,
    JobNotFound,
    MalformedJson,
    UnsupportedMediaType,
)
from app.openapi import documented
from app.resources.deliveries import Delivery, DeliveryList
from app.schemas import WebhookTest
from app.shortages import RedisUnavailable, StorageFull

router = APIRouter(prefix="/v1", tags=["webhooks"])
PageSize = Annotated[int, Query(ge=1, le=200)]


@router.post(
    "/webhooks/test",
    status_code=202,
    summary="Try an endpoint",
    dependencies=[Depends(json_only)],
    response_description="Its delivery: read it to see what the endpoint answered.",
    responses={
        202: {"headers": {"Location": {"schema": {"type": "string"}}}},
        **documented(
            MalformedJson,
            BodyTimeout,
            BodyTooLarge,
            UnsupportedMediaType,
            InvalidRequest,
            RedisUnavailable,
            StorageFull,
        ),
    },
)
def test(asked: WebhookTest, response: Response, deliveries: Deliveries) -> Delivery:
    """A `webhook.test` event, by the way that all events go. Kept for a day."""
    delivery = deliveries.test(asked.url)
    response.headers["Location"] = delivery.urls.self
    return delivery


@router.get(
    "/webhooks/failed",
    summary="List deliveries that were given up",
    response_description="Newest first.",
    responses=documented(InvalidRequest, RedisUnavailable),
)
def failed(
    deliveries: Deliveries, page_size: PageSize = 50, page_token: PageToken = None
) -> DeliveryList:
    """Tried as often as is tried, or answered 410. A replay takes them off."""
    return deliveries.failed(page_size=page_size, page_token=page_token)


@router.get(
    "/webhooks/{delivery_id}",
    summary="Read a delivery",
    response_description="Its attempts so far, and when the next one is.",
    responses=documented(DeliveryNotFound, InvalidRequest, RedisUnavailable),
)
def get(delivery_id: DeliveryId, deliveries: Deliveries) -> Delivery:
    """Kept as long as its job's record."""
    return deliveries.get(delivery_id)


@router.post(
    "/webhooks/{delivery_id}/replay",
    status_code=202,
    summary="Send a delivery again",
    response_description="Due at once, and by the whole schedule.",
    responses={
        200: {"model": Delivery, "description": "It is just being sent; nothing has changed."},
        **documented(DeliveryNotFound, InvalidRequest, RedisUnavailable, StorageFull),
    },
)
def replay(delivery_id: DeliveryId, response: Response, deliveries: Deliveries) -> Delivery:
    """The same event under the same `webhook-id`, whatever became of it before."""
    delivery, begun = deliveries.replay(delivery_id)
    if not begun:
        response.status_code = 200
    return delivery


@router.get(
    "/jobs/{job_id}/webhook",
    summary="Read the delivery of a job's end",
    response_description="Its attempts so far, and when the next one is.",
    responses=documented(JobNotFound, DeliveryNotFound, Expired, InvalidRequest, RedisUnavailable),
)
def of_job(job_id: JobId, deliveries: Deliveries) -> Delivery:
    """There once the job has ended, if it asks for a webhook of such an end."""
    return deliveries.of_job(job_id)
