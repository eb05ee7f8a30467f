"""An HTTP server that answers what it was given, in order, and keeps what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class Canned:
    """One answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class CannedService:
    """Answers to come, and the paths that were asked for."""

    url: str
    answers: list[Canned]
    asked: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def giving(cls, *answers: Canned) -> Iterator[Self]:
        """Running, on a free port."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                answer = service.answers.pop(0)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Not in a test's output."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            service = cls(f"http://127.0.0.1:{server.server_port}", list(answers))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield service
            server.shutdown()
            thread.join()
