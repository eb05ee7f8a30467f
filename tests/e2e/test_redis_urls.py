"""The whole path over what REDIS_URL may say: a user with a password and few rights, and TLS."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from chaos.proxy import Proxy
from tests.app.api_process import ApiProcess
from tests.conftest import RedisServer, Workers

RIGHTS = "~denoised:* ~rq:* &rq:* -@all +@read +@write +@connection +@transaction +@scripting"
RIGHTS += " +@pubsub -@dangerous +info +keys +time"
SECRET = "s3cret"


class TlsProxy(Proxy):
    """Takes TLS off; the valkey of the tests is built without it, the wire is what counts."""

    def __init__(self, target: int | str, certificate: Path, key: Path) -> None:
        super().__init__(target)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._outer = socket.create_server(("127.0.0.1", 0))
        self.tls_port: int = self._outer.getsockname()[1]
        threading.Thread(target=self._unwrap, args=(context,), daemon=True).start()

    def close(self) -> None:
        """For good."""
        self._outer.close()
        super().close()

    def _unwrap(self, context: ssl.SSLContext) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._outer.accept()
                with suppress(ssl.SSLError):
                    self._join(context.wrap_socket(client, server_side=True))

    def _join(self, client: ssl.SSLSocket) -> None:
        inner = socket.create_connection(("127.0.0.1", self.port))
        for source, sink in ((client, inner), (inner, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.close()


def _succeeds_over(url: str, workers: Workers, model: Path) -> None:
    workers.start(model, REDIS_URL=url)
    with ApiProcess.start(url) as api, api.client() as client:
        client.timeout = 90
        answer = client.post("/v1/jobs", json={"n": 2}, headers={"Prefer": "wait=60"})
    assert answer.json()["status"] == "succeeded", answer.text


@contextmanager
def _door(server: RedisServer) -> Iterator[Proxy]:
    proxy = Proxy(f"{server.folder}/redis.sock")
    yield proxy
    proxy.close()


def test_a_user_with_a_password_and_no_rights_beyond_our_keys(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> None:
    with redis_server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "denoised", "on", f">{SECRET}", *RIGHTS.split())
    with _door(redis_server) as proxy:
        url = f"redis://denoised:{SECRET}@127.0.0.1:{proxy.port}/0"
        _succeeds_over(url, workers, tiny_model)
    with redis_server.client() as redis:
        refused = redis.execute_command("ACL", "LOG")
    assert refused == [], "nothing was asked for that it may not do"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_tls(redis_server: RedisServer, workers: Workers, tiny_model: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    proxy = TlsProxy(f"{redis_server.folder}/redis.sock", certificate, key)
    url = f"rediss://127.0.0.1:{proxy.tls_port}/0?ssl_ca_certs={certificate}"
    _succeeds_over(url, workers, tiny_model)
    proxy.close()
