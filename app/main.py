"""The application: what it is made of, and what it opens and closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import Depends, FastAPI
from redis import Redis
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app import connections, problems
from app.deliveries import DeliveryService
from app.deps import caller, no_ambiguous_query
from app.ending import ended
from app.errors import InvalidRequest, Unauthenticated
from app.events import JobEvents
from app.feeds import Feeds
from app.gate import Gate
from app.images import ImageService
from app.jobs import JobService
from app.keys import KeyRing
from app.metrics import Metrics
from app.middleware import BodyLimit, RequestId
from app.models import ModelService
from app.observe import Observe
from app.openapi import DESCRIPTION, DocumentedAPI, documented
from app.routers import images, jobs, models, operations, streams, system, verify, webhooks
from app.settings import Settings
from app.shortages import RateLimited
from app.stats import StatsService
from app.submissions import SubmissionService
from protocol.event_log import EventLog
from protocol.rate_limiter import RateLimiter
from protocol.registry import Registry

_GUARDED = (
    jobs.router,
    streams.router,
    images.router,
    verify.router,
    webhooks.router,
    models.router,
    operations.router,
)
# What scripts of other origins may send and see; bodies and their types they may anyway.
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "X-Request-Id",
)
ANSWER_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)


class State(TypedDict):
    """What every request finds in `request.state`; see deps."""

    redis: Redis
    jobs: JobService
    submissions: SubmissionService
    images: ImageService
    deliveries: DeliveryService
    models: ModelService
    events: JobEvents
    stats: StatsService
    limiter: RateLimiter
    event_log: EventLog
    feeds: Feeds


def create_app(settings: Settings) -> FastAPI:
    """The app. Nothing is opened before its lifespan begins. Raises KeysError."""
    keys = KeyRing(settings.keys_file) if settings.keys_file else None
    metrics = Metrics()
    app = DocumentedAPI(
        title="denoised",
        version="1",
        description=DESCRIPTION,
        lifespan=_lifespan,
        middleware=_middleware(settings, keys, metrics),
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.settings, app.state.keys, app.state.metrics = settings, keys, metrics
    problems.install(app)
    for router in _GUARDED:
        app.include_router(
            router,
            dependencies=[Depends(caller), Depends(no_ambiguous_query)],
            responses=documented(Unauthenticated, InvalidRequest, RateLimited),
        )
    app.include_router(system.router)
    return app


def _middleware(settings: Settings, keys: KeyRing | None, metrics: Metrics) -> list[Middleware]:
    """Outermost first. What names and watches comes before what refuses; CORS before the gate:
    a browser asks for leave without a key."""
    shared = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=ANSWER_HEADERS,
    )
    return [
        Middleware(RequestId),
        Middleware(Observe, metrics=metrics),
        *([shared] if settings.cors_origins else []),
        Middleware(Gate, keys=keys),
        Middleware(BodyLimit, timeout_s=settings.body_timeout_s),
    ]


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
            jobs=JobService(redis),
            submissions=SubmissionService(
                redis,
                submitting=submitting,
                webhook_policy=policy,
                max_queued_images=settings.max_queued_images,
            ),
            images=ImageService(redis),
            deliveries=DeliveryService(redis, policy=policy),
            models=ModelService(Registry(redis)),
            events=events,
            stats=StatsService(redis),
            limiter=RateLimiter(redis),
            event_log=EventLog(redis),
            feeds=feeds,
        )
    finally:
        await feeds.close()
        await ended(listener)
        await listening.aclose()
        submitting.close()
        redis.close()
