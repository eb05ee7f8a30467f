"""Where torch is fetched from."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from launch import torch_index
from launch.settings import free_port


class Found(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/whl/torch/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_what_the_user_chose_is_taken_unasked() -> None:
    assert torch_index.option("https://mirror", wants_cpu=True) == (
        "--extra-index-url https://mirror"
    )
    assert torch_index.option("", wants_cpu=True) == ""


def test_with_a_gpu_pip_decides() -> None:
    assert torch_index.option(None, wants_cpu=False) == ""


def test_without_a_gpu_the_cpu_index_is_asked_where_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with HTTPServer(("127.0.0.1", 0), Found) as server:
        threading.Thread(target=server.serve_forever).start()
        index = f"http://127.0.0.1:{server.server_port}/whl"
        monkeypatch.setattr(torch_index, "CPU_INDEX", index)
        assert torch_index.option(None, wants_cpu=True) == f"--extra-index-url {index}"
        monkeypatch.setattr(torch_index, "CPU_INDEX", f"{index}/nothing")
        assert torch_index.option(None, wants_cpu=True) == ""
        server.shutdown()
    monkeypatch.setattr(torch_index, "CPU_INDEX", f"http://127.0.0.1:{free_port()}")
    assert torch_index.option(None, wants_cpu=True) == ""


def test_an_index_that_accepts_and_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_index, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not torch_index.answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
