"""The application: what it is made of, and what it opens and closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

from fastapi import FastAPI
from redis import Redis
from starlette.middleware import Middleware

from app import connections, problems
from app.deliveries import DeliveryService
from app.events import JobEvents
from app.feeds import Feeds
from app.images import ImageService
from app.jobs import JobService
from app.middleware import BodyLimit, RequestId
from app.models import ModelService
from app.openapi import DESCRIPTION, DocumentedAPI
from app.routers import images, jobs, models, streams, system, verify, webhooks
from app.settings import Settings
from protocol.event_log import EventLog
from protocol.registry import Registry

_ROUTERS = (
    jobs.router,
    streams.router,
    images.router,
    verify.router,
    webhooks.router,
    models.router,
    system.router,
)


class State(TypedDict):
    """What every request finds in `request.state`; see deps."""

    redis: Redis
    jobs: JobService
    images: ImageService
    deliveries: DeliveryService
    models: ModelService
    events: JobEvents
    event_log: EventLog
    feeds: Feeds


def create_app(settings: Settings) -> FastAPI:
    """The app. Nothing is opened before its lifespan begins."""
    app = DocumentedAPI(
        title="denoised",
        version="1",
        description=DESCRIPTION,
        lifespan=_lifespan,
        middleware=[Middleware(RequestId), Middleware(BodyLimit)],
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.settings = settings
    problems.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Redis need not be there yet: /readyz says so, and clients connect when they are used."""
    settings: Settings = app.state.settings
    url, policy = settings.redis_url, settings.webhook_policy
    redis, submitting = connections.for_reading(url), connections.for_submitting(url)
    listening = connections.for_listening(url)
    events = app.state.events = JobEvents(listening)
    listener = asyncio.create_task(events.listen())
    feeds = Feeds(events)
    try:
        yield State(
            redis=redis,
            jobs=JobService(redis, submitting=submitting, webhook_policy=policy),
            images=ImageService(redis),
            deliveries=DeliveryService(redis, policy=policy),
            models=ModelService(Registry(redis)),
            events=events,
            event_log=EventLog(redis),
            feeds=feeds,
        )
    finally:
        await feeds.close()
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
        await listening.aclose()
        submitting.close()
        redis.close()
