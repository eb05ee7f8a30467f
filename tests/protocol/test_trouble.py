"""What is waited out, and what is a mistake: as real servers say it."""

import logging
from collections.abc import Callable

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from protocol.trouble import Trouble, passes, passing_trouble, trouble_of
from tests.conftest import RedisServer, until


def is_full(redis: Redis, server: RedisServer) -> Trouble:
    redis.config_set("maxmemory", "1")
    return Trouble.FULL


def has_lost_its_disk(redis: Redis, server: RedisServer) -> Trouble:
    """Provoked by a snapshot that cannot be written."""
    redis.config_set("save", "3600 1000000")
    (server.folder / "dump.rdb").mkdir()
    redis.bgsave()
    until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    return Trouble.NO_DISK


def is_not_the_master(redis: Redis, server: RedisServer) -> Trouble:
    redis.replicaof("127.0.0.1", "1")
    return Trouble.AWAY


def was_killed(redis: Redis, server: RedisServer) -> Trouble:
    server.kill()
    return Trouble.AWAY


def by_command(redis: Redis) -> None:
    redis.set("key", 1)


def by_transaction(redis: Redis) -> None:
    with redis.pipeline(transaction=True) as pipe:
        pipe.set("key", 1)
        pipe.execute()


def by_script(redis: Redis) -> None:
    redis.register_script("redis.call('SET', KEYS[1], 1)")(keys=["key"])


@pytest.mark.parametrize("write", [by_command, by_transaction, by_script], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "comes_to_be",
    [is_full, has_lost_its_disk, is_not_the_master, was_killed],
    ids=lambda f: f.__name__,
)
def test_a_write_that_may_succeed_later_is_known_however_it_was_refused(
    redis_server: RedisServer,
    redis: Redis,
    comes_to_be: Callable[[Redis, RedisServer], Trouble],
    write: Callable[[Redis], None],
) -> None:
    trouble = comes_to_be(redis, redis_server)
    with pytest.raises(RedisError) as refused:
        write(redis)
    assert passes(refused.value)
    assert trouble_of(refused.value) is trouble


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
