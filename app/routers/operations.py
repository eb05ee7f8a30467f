"""/v1/stats and /metrics: for those who run the service."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from app.deps import Events, RedisClient, admins_only
from app.errors import Forbidden
from app.metrics import MEDIA_TYPE, Metrics
from app.openapi import documented
from app.resources.system import Stats
from app.shortages import RedisUnavailable
from app.stats import StatsService
from app.totals import Totals

router = APIRouter(tags=["operations"], dependencies=[Depends(admins_only)])


class MetricsResponse(Response):
    """So that the OpenAPI document says text/plain."""

    media_type = "text/plain"


@router.get(
    "/v1/stats",
    summary="How much is there to do, and how is it going?",
    responses=documented(Forbidden, RedisUnavailable),
)
def stats(request: Request) -> Stats:
    """Queues by model and priority, images a second, how full steps are. Needs the scope admin."""
    service: StatsService = request.state.stats
    return service.read()


@router.get(
    "/metrics",
    summary="The same, and requests, for Prometheus",
    response_class=MetricsResponse,
    responses=documented(Forbidden),
)
def metrics(request: Request, redis: RedisClient, events: Events) -> MetricsResponse:
    """Answers also where Redis does not: `denoised_redis_up` is 0. Needs the scope admin."""
    service: Metrics = request.app.state.metrics
    text = service.text(request.state.stats, events, Totals(redis))
    return MetricsResponse(text, headers={"Content-Type": MEDIA_TYPE})
