"""A door in front of a server: it can be slammed, be slow, or let nothing through."""

import socket
import threading
import time
from contextlib import suppress
from enum import StrEnum

CHUNK = 65_536
DELAY_S = 0.1


class Mood(StrEnum):
    """What happens to what passes."""

    PASS = "pass"
    DELAY = "delay"
    DROP = "drop"  # taken, and never passed on; the connection is cut when that is over


class Proxy:
    """Listens on a free loopback port; `target` is a port there, or a unix socket's path."""

    def __init__(self, target: int | str) -> None:
        self.target, self.mood = target, Mood.PASS
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._welcome, name="proxy", daemon=True).start()

    def cut(self) -> None:
        """Every connection, now."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def calm(self) -> None:
        """As if nothing had been; what was dropped is missing in its stream, which ends."""
        dropped = self.mood is Mood.DROP
        self.mood = Mood.PASS
        if dropped:
            self.cut()

    def passed(self, data: bytes) -> None:
        """Called after each piece that was passed on; for a test that waits for one."""

    def close(self) -> None:
        """For good."""
        self._door.close()
        self.cut()

    def _welcome(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:  # closed
                return
            try:
                server = self._dial()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.add((client, server))
            left = [2]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(
                    target=self._pass_on, args=(source, sink, left), daemon=True
                ).start()

    def _dial(self) -> socket.socket:
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target))
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
        except OSError:
            server.close()
            raise
        return server

    def _pass_on(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self.mood is Mood.DELAY:
                    time.sleep(DELAY_S)
                if self.mood is not Mood.DROP:
                    sink.sendall(data)
                    self.passed(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            left[0] -= 1
            if left[0] == 0:
                self._pairs = {pair for pair in self._pairs if source not in pair}
                source.close()
                sink.close()
