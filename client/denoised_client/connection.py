"""Where the service is, who we are, and how httpx2 is told. Shared by both drivers."""

import json
import os
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import httpx2

from denoised_client.effects import Call
from denoised_client.errors import Unreachable, Unsendable

LOCAL = "http://127.0.0.1:8000"
Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)
TIMEOUT_S = 30.0
SHORTEST_S = 0.001  # of a time-out: none at all would be another thing
# Who follows a job holds a connection while it asks by another: with a bound on how many there are,
# followers that have one each would wait for each other's second.
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, a key, and how long an answer may take to begin or to go on, in seconds."""

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float

    @classmethod
    def of(cls, url: str | None, api_key: str | None, timeout_s: float) -> "Connection":
        """With DENOISED_URL and DENOISED_API_KEY for what is not given. Raises ValueError."""
        address = url or os.environ.get("DENOISED_URL") or LOCAL
        key = (api_key or os.environ.get("DENOISED_API_KEY") or "").strip()
        if not _is_of_a_service(address):
            raise ValueError(
                f"not the URL of a service: {address!r}; it is http://... or https://..."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError("this cannot be an API key: it has spaces or strange characters")
        return cls(address.rstrip("/"), key or None, timeout_s)

    def pool(self, kind: type[Http]) -> Http:
        """A client of httpx2's. Raises ValueError for a proxy in the environment that it cannot
        use."""
        try:
            return kind(**self._options())
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ValueError(f"the proxy that the environment names: {error}") from error

    def _options(self) -> dict[str, Any]:
        headers = {"User-Agent": f"denoised-client/{own_version()}"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return {"base_url": self.url, "headers": headers, "limits": LIMITS}

    def request(self, http: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
        """A call as httpx2 sends it. Raises Unsendable."""
        try:
            return http.build_request(
                call.method,
                call.path,
                params=dict(call.params),
                headers=dict(call.headers),
                json=call.json,
                timeout=self._timeout(call),
            )
        except (ValueError, TypeError, httpx2.InvalidURL) as error:
            raise Unsendable(f"{_field_at_fault(call)}{error}") from error

    def _timeout(self, call: Call) -> httpx2.Timeout:
        """No step of it goes on for longer than the call is of use."""
        left_s = max(SHORTEST_S, call.deadline.left_s(self.timeout_s + call.held_s))
        return httpx2.Timeout(min(self.timeout_s, left_s), read=left_s)

    def lost(self, error: httpx2.RequestError) -> Unreachable:
        """That a call did not go through, in our terms."""
        why = str(error) or type(error).__name__
        unreachable = Unreachable(f"{self.url}: {why}")
        unreachable.__cause__ = error
        return unreachable


def _is_of_a_service(address: str) -> bool:
    try:
        url = httpx2.URL(address)
        host = url.raw_host.decode().encode("idna")  # as it will be looked up
    except (httpx2.InvalidURL, UnicodeError):
        return False
    return url.scheme in ("http", "https") and bool(host) and (url.port or 0) < 2**16


def _field_at_fault(call: Call) -> str:
    """Which one cannot be written, to begin a sentence with."""
    fields = dict(call.json) if isinstance(call.json, dict) else {}
    asked = {**call.params, **fields}
    return next((f"{name}: " for name, value in asked.items() if not _is_json(value)), "")


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError):
        return False
    return True


def own_version() -> str:
    """Of this package."""
    try:
        return version("denoised-client")
    except PackageNotFoundError:  # run from a checkout
        return "0"
