"""The launcher's calls to the API that it has started itself."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from launch.server import Server
from launch.settings import free_port


class Picture(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"picture")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of something that answers."""
    with HTTPServer(("127.0.0.1", 0), Picture) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("variable", "scheme"), [("HTTP_PROXY", "http"), ("ALL_PROXY", "socks5")])
def test_no_proxy_stands_between_this_machine_and_itself(
    url: str, variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in (variable, variable.lower()):
        monkeypatch.setenv(name, f"{scheme}://127.0.0.1:{free_port()}")
    with Server(url) as server:
        assert server.png("/picture.png") == b"picture"
