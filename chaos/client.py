"""A client that writes down what it was told: the ledger that the oracle holds the service to."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from chaos.plan import Wanted

AGAIN_AFTER_S = 0.3
TIMEOUT_S = 8.0


@dataclass
class Entry:
    """What became of one wanted job. An attempt without an answer may have been accepted.

    One under a key is asked for once more after its 202: `accepted` should name one job twice.
    """

    wanted: Wanted
    accepted: list[str] = field(default_factory=list)  # ids answered with 202
    unanswered: int = 0
    cancel_sent: bool = False

    @property
    def most(self) -> int:
        """So many jobs may have come of it."""
        return 1 if self.wanted.keyed else len(self.accepted) + self.unanswered


class Client:
    """Submits until it is told 202, as an impatient client would: again over a new connection."""

    def __init__(self, url: str, *, patience_s: float) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_S)
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()

    def submit(self, wanted: Wanted) -> Entry:
        """Gives up after its patience; the entry says how far it came."""
        entry = Entry(wanted)
        deadline = time.monotonic() + self._patience_s
        times = 2 if wanted.keyed else 1
        while len(entry.accepted) < times and time.monotonic() < deadline:
            if not self._ask(entry):
                time.sleep(AGAIN_AFTER_S)
        return entry

    def _ask(self, entry: Entry) -> bool:
        """Once; whether it was told 202."""
        wanted = entry.wanted
        key = {"Idempotency-Key": f"chaos-{wanted.number}"} if wanted.keyed else {}
        status, job = self._call("POST", "/v1/jobs", wanted.body, key)
        if status in (200, 202):
            entry.accepted.append(job["id"])
            return True
        if status in (None, 503):  # Redis may have died between taking the job and saying so
            entry.unanswered += 1
        elif status != 507:
            raise RuntimeError(f"job {wanted.number} was refused with {status}: {job}")
        return False

    def cancel(self, entry: Entry) -> None:
        """Once; whether it was heard is for the job's state to say."""
        if entry.accepted:
            entry.cancel_sent = True
            self._call("POST", f"/v1/jobs/{entry.accepted[0]}/cancel", None, {})

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _call(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int | None, dict[str, Any]]:
        try:
            response = self._http.request(method, path, json=body, headers=headers)
            answer: tuple[int | None, dict[str, Any]] = response.status_code, response.json()
        except (httpx2.HTTPError, ValueError):  # cut in the head, or in the body
            answer = None, {}
        with self._lock:
            self.answers[f"{method} {answer[0] or 'unanswered'}"] += 1
        return answer
