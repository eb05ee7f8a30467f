"""What handlers ask for, each under one name."""

import re
from typing import Annotated, get_args, get_origin

from fastapi import Depends, Header, Path, Query, Request, Security, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis import Redis

from app import prefer
from app.deliveries import DeliveryService
from app.errors import FieldError, Forbidden, InvalidRequest, MalformedJson, UnsupportedMediaType
from app.events import JobEvents
from app.feeds import Feeds
from app.images import ImageService
from app.job_source import JobSource
from app.jobs import JobService
from app.keys import Caller
from app.models import ModelService
from app.prefer import Preferences
from app.ranges import Conditions, conditions
from app.submissions import SubmissionService
from protocol.event_log import EventLog
from protocol.messages import (
    DELIVERY_ID_PATTERN,
    JOB_ID_PATTERN,
    MAX_INDEX,
    MODEL_NAME_PATTERN,
)

METADATA = re.compile(r"metadata\.(.+)", re.DOTALL)

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, where the service has any. `python -m app.keys NAME` makes one.",
)


async def caller(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],  # for the document
) -> Caller:
    """Who asks, as the gate found out."""
    found: Caller = request.state.caller
    return found


async def _tenant(caller: Annotated[Caller, Depends(caller)]) -> str:
    """Whose request this is. Without keys there is one tenant."""
    return caller.name


async def admins_only(caller: Annotated[Caller, Depends(caller)]) -> None:
    """What tells of all tenants is not for each of them."""
    if "admin" not in caller.scopes:
        raise Forbidden


Tenant = Annotated[str, Depends(_tenant)]


async def _jobs(request: Request, tenant: Tenant) -> JobService:
    jobs: JobService = request.state.jobs
    return jobs.of(tenant)


async def _submissions(
    request: Request, tenant: Tenant, caller: Annotated[Caller, Depends(caller)]
) -> SubmissionService:
    submissions: SubmissionService = request.state.submissions
    return submissions.of(tenant, caller.quotas, request_id=request.state.request_id)


async def _images(request: Request, tenant: Tenant) -> ImageService:
    images: ImageService = request.state.images
    return images.of(tenant)


async def _deliveries(request: Request, tenant: Tenant) -> DeliveryService:
    deliveries: DeliveryService = request.state.deliveries
    return deliveries.of(tenant)


async def _models(request: Request) -> ModelService:
    models: ModelService = request.state.models
    return models


async def _events(request: Request) -> JobEvents:
    events: JobEvents = request.state.events
    return events


async def _feeds(request: Request) -> Feeds:
    feeds: Feeds = request.state.feeds
    return feeds


async def _redis(request: Request) -> Redis:
    redis: Redis = request.state.redis
    return redis


async def _preferences(
    fields: Annotated[
        list[str] | None,
        Header(
            alias="Prefer",
            description="`wait=N`: hold the answer until the job is done, N seconds at most, "
            "60 at the longest. `handling=strict`, on submission: 503 where no worker is alive.",
            examples=[["wait=30"]],
        ),
    ] = None,
) -> Preferences:
    return prefer.parse(fields or ())


async def json_only(request: Request) -> None:
    """There is a body, and it says that it is JSON."""
    if not await request.body():
        raise MalformedJson("The body is empty; send a JSON object, {} at least.")
    if not is_json(media_type(request)):
        raise UnsupportedMediaType


def media_type(request: Request) -> str:
    """What the body claims to be."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Whether it is JSON of some kind."""
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


async def no_ambiguous_query(request: Request) -> None:
    """What we would ignore, we refuse: it may have been meant to change what is done."""
    if not request.query_params:
        return
    query, route = request.query_params, request.scope["route"]
    objections = {name: _objection(name, len(query.getlist(name)), route) for name in query}
    faults = [FieldError(pointer=f"/{name}", detail=d) for name, d in objections.items() if d]
    if faults:
        raise InvalidRequest(faults)


def _objection(name: str, times: int, route: APIRoute) -> str:
    """Why the route would ignore it, or all but one of it."""
    fields = {
        field.alias: field.field_info.annotation
        for field in get_flat_params(route.dependant)
        if isinstance(field.field_info, params.Query)
    }
    if name in fields:
        is_ignored = times > 1 and not _takes_several(fields[name])
        return "This is given more than once." if is_ignored else ""
    takes_filters = any(each.call is metadata_filters for each in route.dependant.dependencies)
    is_filter = takes_filters and METADATA.fullmatch(name)
    return "" if is_filter else "There is no such query parameter."


def _takes_several(annotation: object) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))


async def metadata_filters(request: Request) -> list[tuple[str, str]]:
    """Each `metadata.key=value`, of any key, which no signature can list."""
    pairs = [
        (METADATA.fullmatch(name), value) for name, value in request.query_params.multi_items()
    ]
    return [(match[1], value) for match, value in pairs if match]


Jobs = Annotated[JobService, Depends(_jobs)]
Submissions = Annotated[SubmissionService, Depends(_submissions)]
Images = Annotated[ImageService, Depends(_images)]
Deliveries = Annotated[DeliveryService, Depends(_deliveries)]
Models = Annotated[ModelService, Depends(_models)]
Events = Annotated[JobEvents, Depends(_events)]
Feeding = Annotated[Feeds, Depends(_feeds)]
RedisClient = Annotated[Redis, Depends(_redis)]
MetadataFilters = Annotated[list[tuple[str, str]], Depends(metadata_filters)]
IfCurrent = Annotated[Conditions, Depends(conditions)]
Prefer = Annotated[Preferences, Depends(_preferences)]
JobId = Annotated[
    str, Path(pattern=JOB_ID_PATTERN, examples=["job_01a20918a6ec77258447f014f91a19f9"])
]


async def _source(request: Request, job_id: JobId, jobs: Jobs, images: Images) -> JobSource:
    log: EventLog = request.state.event_log
    return JobSource(job_id, jobs, images, log)


Source = Annotated[JobSource, Depends(_source)]
DeliveryId = Annotated[
    str, Path(pattern=DELIVERY_ID_PATTERN, examples=["msg_01a20918a6ec77258447f014f91a19f9"])
]
ImageIndex = Annotated[
    int, Path(ge=0, le=MAX_INDEX, description="Absolute: starts at first_index.")
]
PageToken = Annotated[
    str | None, Query(description="`next_page_token` of the page before, with the same filters.")
]
ModelName = Annotated[str, Path(pattern=MODEL_NAME_PATTERN, examples=["fashion-mnist"])]
