"""What every answer of a kind must look like."""

from datetime import datetime
from typing import Any

from httpx2 import Response


def problem(response: Response, status: int, code: str) -> dict[str, Any]:
    """A complete RFC 9457 document of this status and code; nothing of FastAPI's own."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"urn:denoised:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == response.request.url.raw_path.decode().partition("?")[0]
    assert response.headers["x-request-id"]
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "instance", "code"}
    assert ("errors" in body) == (status == 422)
    assert "Traceback" not in response.text
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in body["errors"]]


def moment(text: str) -> datetime:
    """RFC 3339, UTC, milliseconds or better."""
    assert text.endswith("Z")
    assert len(text.partition(".")[2]) > 3
    return datetime.fromisoformat(text)
