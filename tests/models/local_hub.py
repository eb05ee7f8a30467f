"""A Hub of one repository on the loopback interface: as much of it as a download asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub(ThreadingHTTPServer):
    """`name` has the files of `folder`, in every revision of it."""

    daemon_threads = True

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name = name
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        self.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    @property
    def url(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def tree(self) -> list[dict[str, object]]:
        """The commit's listing, as the Hub tells it."""
        return [
            {"type": "file", "path": path, "size": len(content), "oid": _sha1(content)}
            for path, content in self.files.items()
        ]


@contextmanager
def local_hub(name: str, folder: Path) -> Iterator[LocalHub]:
    """Answers for as long as the block runs."""
    with LocalHub(name, folder) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    server: LocalHub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        about, files = f"/api/models/{self.server.name}", f"/{self.server.name}/resolve/{COMMIT}/"
        if path.startswith(f"{about}/revision/"):
            self._say(json.dumps({"id": self.server.name, "sha": COMMIT}).encode())
        elif path == f"{about}/tree/{COMMIT}":
            self._say(json.dumps(self.server.tree).encode())
        else:
            self._say(self.server.files.get(path.removeprefix(files)))

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def _say(self, content: bytes | None) -> None:
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("ETag", f'"{_sha1(content or b"")}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests say what was wrong."""


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
