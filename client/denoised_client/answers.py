"""Reading answers. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from denoised_client.errors import KINDS, ApiError, UnexpectedAnswer
from denoised_client.resources import FieldError, Resource

R = TypeVar("R", bound=Resource)
FIELD_ERRORS = TypeAdapter(tuple[FieldError, ...])


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole one."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def checked(answer: Answer) -> Answer:
    """The answer, if it is a 2xx. Raises ApiError, or UnexpectedAnswer for a redirection."""
    if 200 <= answer.status < 300:
        return answer
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "elsewhere")
        raise UnexpectedAnswer(f"redirected to {target}; use the service's own address as URL")
    raise refusal(answer)


def refusal(answer: Answer) -> ApiError:
    """The error that the answer stands for."""
    problem = _problem(answer.body)
    return KINDS.get(answer.status, ApiError)(
        answer.status,
        problem,
        errors=_field_errors(problem.get("errors")),
        request_id=answer.headers.get("x-request-id"),
        retry_after_s=retry_after_s(answer.headers.get("retry-after"), now=datetime.now(UTC)),
    )


def parsed(answer: Answer, kind: type[R]) -> R:
    """The answer as a resource. Raises UnexpectedAnswer where it is none."""
    try:
        return kind.model_validate_json(answer.body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, fault["loc"])) or "the body"
        why = f"{where}: {fault['msg']}"
        raise UnexpectedAnswer(f"the answer is no {kind.__name__} ({why})") from error


def retry_after_s(text: str | None, *, now: datetime) -> float | None:
    """Seconds, from either form that RFC 9110 (10.2.3) allows; None where it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _field_errors(errors: object) -> tuple[FieldError, ...]:
    try:
        return FIELD_ERRORS.validate_python(errors)
    except ValidationError:
        return ()
