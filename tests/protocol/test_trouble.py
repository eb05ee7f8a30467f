"""What is waited out, and what is a mistake: as real servers say it."""

import logging

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from protocol.trouble import passing_trouble
from tests.conftest import RedisServer


def test_trouble_that_passes_is_logged_and_over_behind_the_block(
    redis_server: RedisServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.kill()
    with caplog.at_level(logging.WARNING), passing_trouble("left without a word"):
        redis.set("key", 1)
        pytest.fail("nobody was there")
    assert caplog.text.count("left without a word: ") == 1


def test_a_mistake_is_raised(redis: Redis) -> None:
    redis.set("key", "no number")
    with pytest.raises(ResponseError, match="not an integer"), passing_trouble("counted"):
        redis.incr("key")
