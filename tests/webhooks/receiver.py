"""An endpoint: a process with a real HTTP server, that verifies what arrives and tells of it.

What it answers, the path says: `/200`, `/500/2` (that twice, then 200), `/302?to=...`,
`/429?retry-after=7`, `/silent`, `/endless`. `python -m tests.webhooks.receiver SECRET`.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import ROOT, until

NEVER_S = 120


class Endpoint(BaseHTTPRequestHandler):
    """Says each request as a line of JSON on stdout, before it answers."""

    secret: str
    seen: "Counter[str]" = Counter()
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen[self.path] += 1
        self._tell({"path": self.path, "body": body, "headers": headers} | self._verdict(body))
        words = urlsplit(self.path).path.strip("/").split("/")
        if words[0] == "silent":
            time.sleep(NEVER_S)
        elif words[0] == "endless":
            self._answer_for_ever()
        else:
            often = int(words[1]) if len(words) > 1 else self.seen[self.path]
            self._answer(int(words[0]) if self.seen[self.path] <= often else 200)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def _verdict(self, body: str) -> dict[str, bool]:
        try:
            Webhook(self.secret).verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            return {"verified": False}
        return {"verified": True}

    def _answer(self, status: int) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.send_response(status)
        for name in ("to", "retry-after"):
            if name in asked:
                self.send_header("Location" if name == "to" else name, asked[name][0])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer_for_ever(self) -> None:
        self.send_response(200)
        self.end_headers()
        sent = 0
        with suppress(OSError):
            while True:
                sent += self.wfile.write(b"x" * 1024)
        self._tell({"path": self.path, "sent": sent})

    def _tell(self, told: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


@dataclass
class Receiver:
    """A running endpoint, and what it was sent."""

    process: "subprocess.Popen[str]"
    port: int
    told: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def start(cls, secret: str) -> Iterator[Self]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.webhooks.receiver", secret],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        receiver = cls(process, int(process.stdout.readline()))
        reader = threading.Thread(target=receiver._collect)
        reader.start()
        try:
            yield receiver
        finally:
            process.kill()
            process.wait()
            reader.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def requests(self, path: str) -> list[dict[str, Any]]:
        """What has come for a path so far."""
        return [told for told in self.told if told["path"] == path and "body" in told]

    def asked(self, start: str) -> int:
        """How many requests have come for paths that start so."""
        return sum(told["path"].startswith(start) and "body" in told for told in self.told)

    def until_asked(self, path: str, times: int = 1) -> list[dict[str, Any]]:
        until(lambda: len(self.requests(path)) >= times)
        return self.requests(path)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.told.append(json.loads(line))


def main() -> None:
    Endpoint.secret = sys.argv[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
