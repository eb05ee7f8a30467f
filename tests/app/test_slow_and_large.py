"""Heads and bodies that are too large, or do not come: bounded before anything is parsed."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from app import http_head
from tests.app.api_process import ApiProcess
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_contract import IMPATIENT, half_a_body
from tests.conftest import RedisServer

GET = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module")
def api(redis_server: RedisServer) -> Iterator[ApiProcess]:
    """Impatient with bodies."""
    with ApiProcess.start(redis_server.url, environment=IMPATIENT) as process:
        yield process


@contextmanager
def connected(api: ApiProcess) -> Iterator[socket.socket]:
    address = urlsplit(api.url)
    with socket.create_connection((str(address.hostname), address.port or 0), 60) as connection:
        yield connection


def answer(connection: socket.socket, sent: bytes) -> bytes:
    """All that comes until the server hangs up."""
    try:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except (ConnectionResetError, BrokenPipeError):
        return b""  # it hung up while we were talking


def test_a_body_that_does_not_come_is_not_waited_for(api: ApiProcess, worker: PlayedWorker) -> None:
    response = half_a_body(api.url)
    problem(response, 408, "request_timeout")
    assert response.headers["connection"] == "close"


def test_a_wait_is_not_taken_for_a_slow_body(api: ApiProcess, worker: PlayedWorker) -> None:
    with api.client() as client:
        response = client.post("/v1/jobs", json={}, headers={"Prefer": "wait=1"})
    assert response.status_code == 202


@pytest.mark.parametrize(
    "head",
    [
        GET + b"x-large: " + b"x" * http_head.MAX_HEAD_BYTES + b"\r\n\r\n",
        GET + b"x-many: y\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"x" * http_head.MAX_HEAD_BYTES + b" HTTP/1.1\r\nhost: h\r\n\r\n",
    ],
    ids=["one header", "many headers", "the path"],
)
def test_a_head_over_the_limit_is_refused(api: ApiProcess, head: bytes) -> None:
    with connected(api) as connection:
        told = answer(connection, head)
    assert told.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "headers_too_large"' in told


def test_a_head_without_an_end_is_not_kept(api: ApiProcess) -> None:
    with connected(api) as connection:
        told = answer(connection, GET + b"x-endless: " + b"x" * 64 * http_head.MAX_HEAD_BYTES)
    assert told == b"" or told.startswith(b"HTTP/1.1 431 ")


def test_a_large_head_within_the_limit_is_read_time_and_again(api: ApiProcess) -> None:
    head = GET + b"x-large: " + b"x" * (http_head.MAX_HEAD_BYTES - 500) + b"\r\n"
    with connected(api) as connection:
        told = answer(connection, 3 * (head + b"\r\n") + head + b"connection: close\r\n\r\n")
    assert told.count(b"HTTP/1.1 200 OK") == 4


def test_what_is_not_http_is_told_so(api: ApiProcess) -> None:
    with connected(api) as connection:
        assert answer(connection, b"\0\1\2\r\n\r\n").startswith(b"HTTP/1.1 400 ")
