"""REDIS_URL and REDIS_PASSWORD_FILE, as every process reads them."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from redis import Redis

from protocol.redis_settings import RedisSettings, with_password
from tests.conftest import RedisServer

HARD = "p@ss/w#rd%20:?"


def settings(monkeypatch: pytest.MonkeyPatch, url: str, file: Path | str) -> RedisSettings:
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(file))
    return RedisSettings()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{HARD}\n")
    return path


def test_a_password_from_a_file_opens_a_real_server(
    redis_server: RedisServer, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server.client() as redis:
        redis.config_set("requirepass", HARD)
    with Redis.from_url(settings(monkeypatch, redis_server.url, password_file).redis_url) as redis:
        assert redis.ping()


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:x%2Fy@redis:6379/0"),
        ("rediss://worker@far:6380/0", "rediss://worker:x%2Fy@far:6380/0"),
        ("rediss://[::1]:6380/0", "rediss://:x%2Fy@[::1]:6380/0"),
        ("unix:///run/redis.sock?db=1", "unix://:x%2Fy@/run/redis.sock?db=1"),
    ],
)
def test_user_server_and_database_stay_what_they_are(url: str, whole: str) -> None:
    assert with_password(url, "x/y") == whole


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:notaport/0",
        "redis://h:99999/0",
        "redis://:hidden/word@h:6379/0",
        "redis://h/0?hidden=1",
        "redis://h/0?socket_timeout=hidden",
        "unix:///s?db=hidden",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(ValidationError, match=r"REDIS_URL\n.*look at its port") as refused:
        settings(monkeypatch, url, "")
    assert "hidden" not in str(refused.value)


def test_no_file_and_an_empty_one_are_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for file in ("", empty):
        assert settings(monkeypatch, "redis://h", file).redis_url == "redis://h"


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="/nowhere cannot be read: No such file"):
        settings(monkeypatch, "redis://h", "/nowhere")


def test_two_passwords_are_refused_and_neither_is_shown(
    password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="keep one") as refused:
        settings(monkeypatch, "redis://:secret@h", password_file)
    assert "secret" not in str(refused.value)
    assert HARD not in str(refused.value)
