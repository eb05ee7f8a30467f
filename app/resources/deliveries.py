"""Webhooks on their way."""

from typing import Literal

from pydantic import BaseModel, Field

from app.resources.times import Time
from protocol.webhook_store import DeliveryState


class DeliveryAttempt(BaseModel):
    """One POST to an endpoint."""

    at: Time
    status: int | None = Field(description="What it answered; null: it did not.")
    error: str | None = Field(description="Why there was no answer.")


class DeliveryUrls(BaseModel):
    """Follow these rather than build your own."""

    self: str
    replay: str
    job: str | None


class Delivery(BaseModel):
    """An event on its way to its endpoint, or there."""

    id: str = Field(description="The `webhook-id` header, the same for every attempt.")
    object: Literal["webhook_delivery"] = "webhook_delivery"
    type: str = Field(examples=["job.succeeded"])
    url: str
    state: DeliveryState = Field(
        description="`failed`: tried as often as is tried. `disabled`: the endpoint said 410."
    )
    created_at: Time
    next_attempt_at: Time | None = Field(description="While pending.")
    attempts: list[DeliveryAttempt] = Field(description="The last 20, oldest first.")
    urls: DeliveryUrls


class DeliveryList(BaseModel):
    """Some of them, newest first."""

    object: Literal["list"] = "list"
    data: list[Delivery]
    next_page_token: str | None = Field(description="Null: there are no more.")
