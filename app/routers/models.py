"""/v1/models: what can be asked for."""

from fastapi import APIRouter

from app.deps import ModelName, Models
from app.errors import InvalidRequest, ModelNotFound
from app.openapi import documented
from app.resources.models import Model, ModelList
from app.shortages import RedisUnavailable

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", summary="List the models", responses=documented(RedisUnavailable))
def list_all(models: Models) -> ModelList:
    """All that workers have published, also those that no worker serves at the moment."""
    return ModelList(data=models.all())


@router.get(
    "/{name}",
    summary="Read a model",
    responses=documented(ModelNotFound, InvalidRequest, RedisUnavailable),
)
def get(name: ModelName, models: Models) -> Model:
    """Its size, samplers and card, and the workers that serve it now."""
    return models.get(name)
