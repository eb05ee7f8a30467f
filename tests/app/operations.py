"""The operations of the OpenAPI document, and what they answer, as rows of a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.main import create_app
from app.settings import Settings
from tests.app import pngs
from tests.app.test_verify import made

BODIES = {  # where {} is none
    "/v1/verify": {"image": pngs.text(made())},
    "/v1/webhooks/test": {"url": "https://example.org/hook"},
}
METHODS = {"get", "post", "put", "delete", "patch"}


@dataclass(frozen=True)
class Operation:
    """`str` of it is its name in tables: `GET /v1/jobs/{job_id}`."""

    method: str
    path: str
    statuses: frozenset[int]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, job_id: str) -> str:
        """Of a job of `tiny`, its first image, the delivery of its end. New routes add theirs."""
        delivery_id = f"msg_{job_id.partition('_')[2]}"
        values = {"job_id": job_id, "index": 0, "name": "tiny", "delivery_id": delivery_id}
        return self.path.format(**values)

    @property
    def is_endless(self) -> bool:
        """Whether it answers until a job is done."""
        responses = DOCUMENT["paths"][self.path][self.method.lower()]["responses"]
        return "text/event-stream" in responses.get("200", {}).get("content", {})

    def body(self) -> dict[str, Any]:
        """What `request` is to send."""
        has_body = self.method in ("POST", "PUT", "PATCH")
        return {"json": BODIES.get(self.path, {})} if has_body else {}


@dataclass(frozen=True)
class Outcome:
    """One status of an operation; of an error, with one of the codes it may have."""

    operation: Operation
    status: int
    code: str | None

    def __str__(self) -> str:
        return f"{self.operation} {self.status} {self.code or ''}".strip()


DOCUMENT = create_app(Settings(redis_url="redis://nowhere")).openapi()


def operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method, described in item.items():
            if method in METHODS:
                statuses = frozenset(map(int, described["responses"]))
                yield Operation(method.upper(), path, statuses)


def outcomes() -> Iterator[Outcome]:
    for operation in operations():
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
        for status, response in described.items():
            for code in _codes(response):
                yield Outcome(operation, int(status), code)


def _codes(response: dict[str, Any]) -> list[str | None]:
    problem = response.get("content", {}).get("application/problem+json")
    return list(problem["examples"]) if problem else [None]
