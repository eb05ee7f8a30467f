"""A TCP proxy that hangs up when it is told to."""

import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 2**16
REQUEST_HEAD = re.compile(r"(?:GET|POST|DELETE) /.*?\r\n\r\n", re.DOTALL)


@dataclass
class CuttingProxy:
    """Between a client and a service. Counts the connections it has cut, and keeps the heads of the
    requests that it passed on, and of those among them whose connection is over."""

    host: str
    port: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    cuts: int = 0
    heads: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    _only: str = ""
    _budgets: deque[int] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: list[socket.socket] = field(default_factory=list)

    @classmethod
    @contextmanager
    def before(cls, url: str) -> Iterator[Self]:
        """Running, before the service at `url`."""
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        proxy = cls(address.hostname, address.port)
        thread = threading.Thread(target=proxy._serve)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.listener.shutdown(socket.SHUT_RDWR)
            proxy.listener.close()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def cut_after(self, *budgets: int, only: str = "") -> None:
        """Let so many bytes of answers pass, then hang up; then the next, and so on. The first
        byte counted is the next one to come: 0 loses a whole answer. `only`: of requests whose head
        has this text."""
        with self._lock:
            self._only = only
            self._budgets.extend(budgets)

    def _serve(self) -> None:
        threads = []
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self.listener.accept()
                threads.append(threading.Thread(target=self._connect, args=(client,)))
                threads[-1].start()
        for end in self._open:
            _hang_up(end)
        for thread in threads:
            thread.join()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection((self.host, self.port)) as service:
            self._open += [client, service]
            asked: list[str] = []
            upstream = threading.Thread(target=self._pass_on, args=(client, service, asked))
            upstream.start()
            self._pass_back(service, client, asked)
            _hang_up(client)
            _hang_up(service)
            upstream.join()
            self.over += asked

    def _pass_on(self, client: socket.socket, service: socket.socket, asked: list[str]) -> None:
        with suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                heads = REQUEST_HEAD.findall(data.decode("latin-1"))
                asked += heads
                self.heads += heads
                service.sendall(data)
        _hang_up(service)

    def _pass_back(self, service: socket.socket, client: socket.socket, asked: list[str]) -> None:
        with suppress(OSError):
            while data := service.recv(CHUNK_BYTES):
                passed = self._let_pass(data) if self._only in asked[-1] else len(data)
                client.sendall(data[:passed])
                if passed < len(data):
                    return

    def _let_pass(self, data: bytes) -> int:
        """How many of these bytes may pass; fewer than there are: hang up then."""
        with self._lock:
            if not self._budgets:
                return len(data)
            if self._budgets[0] >= len(data):
                self._budgets[0] -= len(data)
                return len(data)
            self.cuts += 1
            return self._budgets.popleft()


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
