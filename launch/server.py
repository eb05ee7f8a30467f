"""What the launcher asks of a running API: is it ready, draw these images."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx2

POLL_S, WAIT_S = 0.1, 1


class DrawError(Exception):
    """Why there are no images, in one line."""


class Server(AbstractContextManager["Server"]):
    """A client for the few calls that the launcher makes."""

    def __init__(self, url: str) -> None:
        # it is our own machine: what the environment says of proxies is not for it
        self._http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def wait_until_ready(self, leaving: threading.Event) -> bool:
        """True when a worker serves; False when it is time to leave."""
        while not leaving.wait(POLL_S):
            try:
                if self._http.get("/readyz").is_success:
                    return True
            except httpx2.TransportError:
                continue  # not yet listening
        return False

    def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        """The job. Raises DrawError."""
        return self._json(self._http.post("/v1/jobs", json=request))

    def follow(self, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The job as it goes on, about once a second; the last one is the end of it."""
        while not job["done"]:
            response = self._http.get(job["urls"]["self"], headers={"Prefer": f"wait={WAIT_S}"})
            yield (job := self._json(response))

    def png(self, url: str) -> bytes:
        """An image. Raises DrawError."""
        return self._checked(self._http.get(url)).content

    def _json(self, response: httpx2.Response) -> dict[str, Any]:
        answer = self._checked(response).json()
        assert isinstance(answer, dict)
        return answer

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if not response.is_success:
            raise DrawError(f"{response.status_code} {response.reason_phrase}: {response.text}")
        return response
