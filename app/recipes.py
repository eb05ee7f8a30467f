"""What an image's text chunk `denoised` says of its making. It was written here, or was it?

Nothing in it is trusted: it is validated like a request, and refused with the same words.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from app.errors import FieldError, InvalidImage, InvalidRequest
from app.png_input import NotThisImage, text_of
from app.problems import MAX_ERRORS, field_error
from app.resolve import resolve
from app.schemas import JobSubmission, OutputChoice, SamplerChoice, Submitted
from protocol.messages import (
    ENGINE_PATTERN,
    MAX_GUIDANCE,
    MAX_INDEX,
    MAX_SEED,
    SHA256_PATTERN,
    JobRequest,
    ModelInfo,
)

KEYWORD = "denoised"
WHERE = ("image", KEYWORD)
CALLED = {"/labels": "/label", "/labels/0": "/label"}  # in a request, and in the text
MAX_TEXT = 2**16
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class Recipe(Submitted):
    """All that is needed to make an image of the task `sample` again, and what came out."""

    task: Literal["sample"]
    model: str
    model_sha256: Sha256
    engine: Annotated[str, Field(pattern=ENGINE_PATTERN)]
    precision: str
    mode: str
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    index: Annotated[int, Field(ge=0, le=MAX_INDEX)]
    sampler: SamplerChoice
    label: str | None = None
    guidance: Annotated[float, Field(ge=0.0, le=MAX_GUIDANCE)] | None = None
    scale: Annotated[int, Field(ge=1, le=16)]
    pixels_sha256: Sha256


def recipe_of(png: bytes) -> Recipe:
    """Raises InvalidImage where the file has none, or one that could not be ours."""
    record = _record(png)
    if record.get("task") in ("variations", "interpolate"):
        raise _refused(
            f"It was made by {record['task']}, from images that the file does not hold. Submit "
            "that job again, and compare pixels_sha256.",
            *(*WHERE, "task"),
        )
    try:
        return Recipe.model_validate(record)
    except ValidationError as error:
        faults = error.errors()[:MAX_ERRORS]
        raise InvalidImage([field_error(e, [*WHERE, *e["loc"]]) for e in faults]) from error


def request_of(recipe: Recipe, model: ModelInfo) -> JobRequest:
    """The job that makes this one image again. Raises InvalidImage where the model cannot."""
    asked = JobSubmission(
        model=recipe.model,
        seed=recipe.seed,
        first_index=recipe.index,
        sampler=recipe.sampler,
        labels=None if recipe.label is None else [recipe.label],
        guidance=recipe.guidance,
        output=OutputChoice(scale=recipe.scale),
    )
    try:
        request = resolve(asked, model, seed=recipe.seed)
    except InvalidRequest as error:
        raise within_image(error) from error
    if request.sampler.model_dump() != recipe.sampler.model_dump():
        detail = "This is no sampler as an image records it: with all of its settings."
        raise _refused(detail, *WHERE, "sampler")
    return request


def within_image(error: InvalidRequest) -> InvalidImage:
    """The same objections, to what the image's text says."""
    inside = "".join(f"/{name}" for name in WHERE)
    return InvalidImage(
        [
            FieldError(pointer=inside + CALLED.get(e.pointer, e.pointer), detail=e.detail)
            for e in error.errors
        ]
    )


def _record(png: bytes) -> dict[str, Any]:
    try:
        text = text_of(png, KEYWORD)
    except NotThisImage as error:
        raise _refused(str(error), "image") from error
    if text is None:
        raise _refused(f"It has no text chunk `{KEYWORD}`: it was not made here.", "image")
    if len(text) > MAX_TEXT:
        raise _refused(f"Its text chunk has more than {MAX_TEXT} bytes.", *WHERE)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused("The text chunk is not JSON.", *WHERE) from error
    if not isinstance(record, dict):
        raise _refused("The text chunk is no JSON object.", *WHERE)
    return record


def _refused(detail: str, *path: str) -> InvalidImage:
    return InvalidImage([FieldError(pointer="".join(f"/{name}" for name in path), detail=detail)])
