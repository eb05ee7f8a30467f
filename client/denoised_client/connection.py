"""Where the service is, who we are, and how httpx2 is told. Shared by both drivers."""

import os
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx2

from denoised_client.effects import Call
from denoised_client.errors import Unreachable

LOCAL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0


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
        if not address.startswith(("http://", "https://")):
            raise ValueError(
                f"not the URL of a service: {address!r}; it is http://... or https://..."
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError("this cannot be an API key: it has spaces or strange characters")
        return cls(address.rstrip("/"), key or None, timeout_s)

    def options(self) -> dict[str, Any]:
        """For httpx2.Client and httpx2.AsyncClient alike."""
        headers = {"User-Agent": f"denoised-client/{own_version()}"}
        if self.api_key is not None:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return {"base_url": self.url, "headers": headers}

    def request(self, http: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
        """A call as httpx2 sends it."""
        return http.build_request(
            call.method,
            call.path,
            params=dict(call.params),
            headers=dict(call.headers),
            json=call.json,
            timeout=httpx2.Timeout(self.timeout_s, read=self.timeout_s + call.held_s),
        )

    def lost(self, error: httpx2.RequestError) -> Unreachable:
        """That a call did not go through, in our terms."""
        why = str(error) or type(error).__name__
        unreachable = Unreachable(f"{self.url}: {why}")
        unreachable.__cause__ = error
        return unreachable


def own_version() -> str:
    """Of this package."""
    try:
        return version("denoised-client")
    except PackageNotFoundError:  # run from a checkout
        return "0"
