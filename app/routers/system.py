"""/livez and /readyz: for probes and load balancers."""

from fastapi import APIRouter

from app.deps import Models, RedisClient
from app.openapi import documented
from app.resources.system import Health
from app.shortages import NoWorker, RedisUnavailable

router = APIRouter(tags=["system"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", summary="Is the process alive?")
async def livez() -> Health:
    """Asks nobody."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Could a job be done now?",
    responses=documented(RedisUnavailable, NoWorker),
)
def readyz(redis: RedisClient, models: Models) -> Health:
    """Redis answers and a worker lives; else 503, naming what is missing."""
    redis.ping()
    if not models.is_any_served():
        fault = models.start_fault()
        why = f" One could not start: {fault}" if fault else ""
        raise NoWorker(f"Missing: a live worker.{why}")
    return Health(status="ready")
