"""The OpenAPI document, with our errors in place of FastAPI's own."""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.errors import ApiError, InvalidRequest
from app.problems import MEDIA_TYPE, Problem, problem_of
from app.resources.jobs import Preview

FILES = ("image/png", "application/zip")
SCHEMAS = "#/components/schemas/"
DESCRIPTION = """\
Images from denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020).

`POST /v1/jobs` queues a job and answers at once; `GET /v1/jobs/{id}` with `Prefer: wait=30` holds
its answer until the job is done, and `GET /v1/jobs/{id}/events` tells it while it happens. The
same seed gives the same pixels, whatever else is running. A submission whose answer was lost may be
sent again, under the same `Idempotency-Key`.

Every error is `application/problem+json` (RFC 9457) with a stable `code`. Every answer carries an
`X-Request-Id`: yours, if you sent one.
"""


class DocumentedAPI(FastAPI):
    """FastAPI, whose document knows the schemas that only `documented` or an event refers to, and
    gives those who generate clients names to read and types that they know."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, generate_unique_id_function=operation_id)

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for model in (Problem, Preview):
                schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
                parts = schema.pop("$defs", {})
                document["components"]["schemas"].update(parts, **{model.__name__: schema})
            for operations in document["paths"].values():
                for operation in operations.values():
                    _simplify(operation)
        return super().openapi()


def operation_id(route: APIRoute) -> str:
    """What a generated client calls the operation: jobs_submit, models_get."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def _simplify(operation: dict[str, Any]) -> None:
    """A header that may be sent in several lines is one text; a file is bytes, not text."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "header":
            told = {k: v for k, v in parameter["schema"].items() if k == "pattern"}
            parameter["schema"] = {"type": "string", **told}
    for response in operation["responses"].values():
        for media_type, content in response.get("content", {}).items():
            if media_type in FILES:
                content["schema"] = {"type": "string", "format": "binary"}


def documented(*errors: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: one entry for each status, one example for each code."""
    by_status: dict[int | str, list[type[ApiError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {status: _response(kinds) for status, kinds in by_status.items()}


def _response(kinds: list[type[ApiError]]) -> dict[str, Any]:
    content = {
        "schema": {"$ref": f"{SCHEMAS}Problem"},
        "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
    }
    response: dict[str, Any] = {
        "description": " or ".join(f"`{kind.code}`: {kind.explanation}" for kind in kinds),
        "content": {MEDIA_TYPE: content},
    }
    if any(kind.retry_after_s is not None for kind in kinds):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return response


def _example(kind: type[ApiError]) -> dict[str, Any]:
    problem = problem_of(_instance(kind), instance="/v1/jobs")
    return problem.model_dump(exclude_none=True)


def _instance(kind: type[ApiError]) -> ApiError:
    if issubclass(kind, InvalidRequest):
        return kind([kind.example])
    return kind()
