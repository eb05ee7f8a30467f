"""Every request the client makes. Pure."""

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from denoised_client.deadline import Deadline
from denoised_client.effects import Call
from denoised_client.errors import UnexpectedAnswer, Unsendable
from denoised_client.resources import JobSnapshot

Texts = str | Sequence[str] | None  # one of these; None: any
JOBS = "/v1/jobs"
PAGE_SIZE = 200
NEVER = Deadline()


def submit(body: Mapping[str, Any]) -> Call:
    """With a key, so that a request that is sent again makes no second job. Raises Unsendable."""
    asked = dict(body)
    headers = {"Idempotency-Key": _key(asked.pop("idempotency_key", None))}
    if asked.pop("strict", False):
        headers["Prefer"] = "handling=strict"
    return Call("POST", JOBS, headers=headers, json=asked)


def dry_run(body: Mapping[str, Any]) -> Call:
    """As `submit`, but nothing is queued."""
    asked = {name: body[name] for name in body if name not in ("idempotency_key", "strict")}
    return Call("POST", JOBS, params={"dry_run": "true"}, json=asked)


def job(job_id: str, *, wait_s: int = 0, deadline: Deadline = NEVER) -> Call:
    """`wait_s`, 60 at most: the service holds its answer until the job is done."""
    headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    return Call("GET", _job_path(job_id), headers=headers, held_s=wait_s, deadline=deadline)


def jobs(*, status: Texts, model: Texts, metadata: Mapping[str, Any], token: str | None) -> Call:
    """A page of the list, newest first. Raises Unsendable for a filter that no job can fit."""
    asked = {"status": status, "model": model, "page_token": token}
    filters = {name: value for name, value in asked.items() if value is not None}
    filters |= {f"metadata.{key}": value for key, value in metadata.items()}
    texts = {name: _texts(name, value) for name, value in filters.items()}
    return Call("GET", JOBS, params={"page_size": PAGE_SIZE, **texts})


def _texts(name: str, value: Any) -> Sequence[str]:
    """One or several, each as a query says it: what is no text is written as JSON."""
    several = value if isinstance(value, list | tuple | set | frozenset) else [value]
    if not several:
        raise Unsendable(f"{name}: one of none fits no job; leave it out to ask for any")
    return [each if isinstance(each, str) else _json(name, each) for each in several]


def _json(name: str, value: Any) -> str:
    """As the service writes it. Raises Unsendable."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Unsendable(f"{name}: {error}") from error


def cancel(job: JobSnapshot) -> Call:
    """Stop it; finished images stay."""
    return Call("POST", path_of(job.urls.cancel))


def delete(job_id: str) -> Call:
    """The job, its images and its record."""
    return Call("DELETE", _job_path(job_id))


def image(job_id: str, index: int) -> Call:
    """A PNG, by absolute index."""
    return Call("GET", f"{_job_path(job_id)}/images/{index}.png")


def get(url: str | None, **params: str | int) -> Call:
    """A URL that the service gave. Raises UnexpectedAnswer for one elsewhere: our key is not for
    others."""
    return Call("GET", path_of(url), params=params)


def path_of(url: str | None) -> str:
    """The URL, if it is a path on the service."""
    if url is None or not url.startswith("/") or url.startswith("//"):
        raise UnexpectedAnswer(f"no path on this service: {url}")
    return url


def verify(png: bytes, *, deadline: Deadline = NEVER) -> Call:
    """Sample again what the file says it is."""
    headers = {"Idempotency-Key": _key(None)}
    body = {"image": base64.b64encode(png).decode()}
    return Call("POST", "/v1/verify", headers=headers, json=body, deadline=deadline)


def model(name: str) -> Call:
    """One model."""
    return Call("GET", f"/v1/models/{_quoted(name)}")


MODELS = Call("GET", "/v1/models")
STATS = Call("GET", "/v1/stats")


def _job_path(job_id: str) -> str:
    return f"{JOBS}/{_quoted(job_id)}"


def _quoted(text: str) -> str:
    """What is no text (a lone surrogate) is a name all the same; the service does not know it."""
    return quote(text, safe="", errors="surrogatepass")


def _key(given: str | None) -> str:
    """The one given, or a fresh one; quoted. Raises Unsendable for one that no header can hold."""
    if given is None:
        return f'"{uuid.uuid4()}"'
    if not given or not (given.isascii() and given.isprintable()):
        raise Unsendable(f"no idempotency key: {given!r}; it is some printable ASCII characters")
    escaped = given.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
