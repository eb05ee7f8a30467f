"""The guard: real sockets, real TLS, and the resolver that names are really looked up with."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from protocol.webhook_policy import WebhookPolicy, parse_networks, parse_ports
from webhooks.transport import PinnedTransport, Refused

CERTIFICATE = Path(__file__).parent / "hooks.test.pem"
ALLOWED, FORBIDDEN, CLOSED = "127.0.0.1", "127.0.0.2", "127.0.0.3"
BODY = b"the body"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Listener:
    """A server of one answer, at one address of this machine; what it has read."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._socket = socket.create_server((address, port))
        self.port: int = self._socket.getsockname()[1]
        self.read: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            while request := _request(connection):  # until the client hangs up
                self.read.append(request)
                connection.sendall(ANSWER)
        except OSError:  # a client that does not trust us hangs up
            return
        finally:
            connection.close()


def _request(connection: socket.socket) -> bytes:
    """All of it: to close on what is unread would reset the connection."""
    read = b""
    while not read.endswith(BODY):
        if not (part := connection.recv(65536)):
            break
        read += part
    return read


@contextmanager
def listening(
    address: str, port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[Listener]:
    listener = Listener(address, port, context)
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Answers of the system's resolver by name, one for each look-up; the last one stays."""
    answers: dict[str, list[list[str]]] = {}
    system: Callable[..., Any] = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return system(host, port, *args, **kwargs)
        now = answers[name].pop(0) if len(answers[name]) > 1 else answers[name][0]
        return [entry for address in now for entry in system(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


def to_this_machine() -> WebhookPolicy:
    networks = parse_networks(f"{ALLOWED}, {CLOSED}")
    return WebhookPolicy(allow_http=True, ports=parse_ports("1-65535"), networks=networks)


def post(
    *urls: str, policy: WebhookPolicy | None = None, verify: ssl.SSLContext | bool = True
) -> list[int]:
    """Statuses, by one transport. Raises what it raises."""

    async def posted() -> list[int]:
        statuses = []
        async with PinnedTransport(policy or to_this_machine(), verify=verify) as transport:
            for url in urls:
                request = httpx2.Request("POST", url, content=BODY)
                response = await transport.handle_async_request(request)
                await response.aread()
                statuses.append(response.status_code)
        return statuses

    return asyncio.run(posted())


def test_an_answer_that_changes_after_the_check_helps_nobody(
    names: dict[str, list[list[str]]],
) -> None:
    with listening(ALLOWED) as open_, listening(FORBIDDEN, open_.port) as secret:
        names["hooks.test"] = [[ALLOWED], [FORBIDDEN]]
        url = f"http://hooks.test:{open_.port}/hook"
        assert post(url) == [204]
        assert open_.read[0].startswith(b"POST /hook HTTP/1.1\r\nHost: hooks.test:")
        with pytest.raises(Refused):
            post(url)
        assert secret.read == []


def test_one_bad_address_among_good_ones_is_enough(names: dict[str, list[list[str]]]) -> None:
    with listening(ALLOWED) as open_:
        names["hooks.test"] = [[ALLOWED, FORBIDDEN]]
        with pytest.raises(Refused):
            post(f"http://hooks.test:{open_.port}/")
        assert open_.read == []


def test_an_address_that_does_not_answer_is_not_the_last_one(
    names: dict[str, list[list[str]]],
) -> None:
    with listening(ALLOWED) as open_:
        names["hooks.test"] = [[CLOSED, ALLOWED]]
        assert post(f"http://hooks.test:{open_.port}/") == [204]
        names["hooks.test"] = [[CLOSED]]
        with pytest.raises(httpx2.ConnectError):
            post(f"http://hooks.test:{open_.port}/")


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.0.0.1", "169.254.169.254", "224.0.0.1", "100.64.0.1", "::1", "fe80::1"]
    + ["::ffff:10.0.0.1", "fd00:ec2::254"],
)
def test_a_name_of_an_address_that_is_not_public_is_refused_without_a_word_of_it(
    names: dict[str, list[list[str]]], address: str
) -> None:
    names["hooks.test"] = [[address]]
    with pytest.raises(Refused) as refused:
        post("https://hooks.test/", policy=WebhookPolicy(allow_http=True))
    assert address not in str(refused.value)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "0"])
def test_other_ways_to_write_this_machine_are_seen_through(host: str) -> None:
    with pytest.raises((Refused, httpx2.InvalidURL)):
        post(f"http://{host}/", policy=WebhookPolicy(allow_http=True))


def test_a_name_that_does_not_exist_is_said_to_be_one() -> None:
    with pytest.raises(Refused, match="cannot be resolved"):
        post("https://nowhere.invalid/")


@pytest.mark.parametrize(
    ("url", "why"), [("http://hooks.test/", "https"), ("https://hooks.test:22/", "port 22")]
)
def test_what_the_operator_forbids_is_refused_here_too(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        post(url, policy=WebhookPolicy())


@pytest.fixture
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
def client_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def test_tls_verifies_the_name_though_an_address_is_connected_to(
    names: dict[str, list[list[str]]], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    asked: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    names["hooks.test"] = names["other.test"] = [[ALLOWED]]
    with listening(ALLOWED, context=server_tls) as open_:
        good, bad = (f"https://{name}.test:{open_.port}/" for name in ("hooks", "other"))
        assert post(good, verify=client_tls) == [204]
        for url, trust in ((bad, client_tls), (good, True)):
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                post(url, verify=trust)
        assert len(open_.read) == 1
    assert asked == ["hooks.test", "other.test", "hooks.test"]


def test_a_connection_verified_for_one_name_carries_no_other_names_request(
    names: dict[str, list[list[str]]], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    names["hooks.test"] = names["other.test"] = [[ALLOWED]]
    with listening(ALLOWED, context=server_tls) as open_:
        good, bad = (f"https://{name}.test:{open_.port}/" for name in ("hooks", "other"))
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            post(good, bad, verify=client_tls)
        assert len(open_.read) == 1
