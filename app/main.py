"""The application: what it is made of, and what it opens and closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

from fastapi import FastAPI
from redis import Redis
from starlette.middleware import Middleware

from app import connections, problems
from app.events import JobEvents
from app.images import ImageService
from app.jobs import JobService
from app.middleware import BodyLimit, RequestId
from app.models import ModelService
from app.openapi import DESCRIPTION, DocumentedAPI
from app.routers import images, jobs, models, system, verify
from app.settings import Settings
from protocol.registry import Registry


class State(TypedDict):
    """What every request finds in `request.state`; see deps."""

    redis: Redis
    jobs: JobService
    images: ImageService
    models: ModelService
    events: JobEvents


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
    for router in (jobs.router, images.router, verify.router, models.router, system.router):
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Redis need not be there yet: /readyz says so, and clients connect when they are used."""
    url = app.state.settings.redis_url
    redis, submitting = connections.for_reading(url), connections.for_submitting(url)
    listening = connections.for_listening(url)
    events = app.state.events = JobEvents(listening)
    listener = asyncio.create_task(events.listen())
    try:
        yield State(
            redis=redis,
            jobs=JobService(redis, submitting=submitting),
            images=ImageService(redis),
            models=ModelService(Registry(redis)),
            events=events,
        )
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener
        await listening.aclose()
        submitting.close()
        redis.close()
