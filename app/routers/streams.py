"""/v1/jobs/{job_id}/events: a job told while it happens."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.deps import Feeding, Source
from app.errors import Expired, InvalidRequest, JobNotFound
from app.listener import Listener
from app.openapi import documented
from app.shortages import RedisUnavailable
from app.sse import HEADERS, EventStream
from protocol.event_log import StreamId

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])
EXAMPLE = """\
retry: 1000

event: snapshot
data: {"id":"job_01a2...","status":"running","done":false, ...}
id: 1790000000000-0

event: image
data: {"index":0,"pixels_sha256":"4241...", ..., "url":"/v1/jobs/job_01a2.../images/0.png"}
id: 1790000000412-0

event: progress
data: {"id":"job_01a2...","status":"running","done":false, ...}
id: 1790000000412-0

event: done
data: {"id":"job_01a2...","status":"succeeded","done":true, ...}
id: 1790000001007-1
"""
EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["snapshot", "progress", "image", "preview", "done"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
        "retry": {"type": "integer"},
    },
    "required": ["event", "data"],
}
STREAM = {
    "description": "Events until the job is done. `snapshot`, `progress` and `done` carry a whole "
    "Job, `image` an Image, `preview` a Preview.",
    "headers": {
        name: {"schema": {"type": "string", "enum": [value]}} for name, value in HEADERS.items()
    },
    "content": {
        "text/event-stream": {
            "schema": {"type": "array", "items": EVENT},
            "itemSchema": EVENT,
            "example": EXAMPLE,
        }
    },
}
LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        description="The last `id` heard: what was missed is told, or a `snapshot` where that can "
        "no longer be known. Browsers send it by themselves.",
    ),
]
WantsPreviews = Annotated[
    bool, Query(description="Also `preview`: what the first unfinished images look like by now.")
]


@router.get(
    "/events",
    status_code=200,  # FastAPI would look for it in the response's own constructor
    summary="Listen to a job",
    response_class=EventStream,
    responses={
        200: STREAM,
        204: {"description": "`Last-Event-ID` is of `done`, or later: there is no more to tell."},
        **documented(JobNotFound, Expired, InvalidRequest, RedisUnavailable),
    },
)
async def events(
    source: Source,
    feeds: Feeding,
    preview: WantsPreviews = False,
    last_event_id: LastEventId = "",
) -> Response:
    """Server-sent events: a `snapshot`, then `progress` (at most twice a second), `image` for each
    that is finished, and `done`, after which the stream ends. It also ends when the server leaves:
    connect again. Comments keep it alive."""
    since = StreamId.parse(last_event_id.strip())
    done_event = await run_in_threadpool(source.done_event)
    if since is not None and done_event is not None and since >= done_event:
        return Response(status_code=204)
    listener = Listener(since=since, wants_previews=preview)
    return EventStream(feeds.stream(source, listener))
