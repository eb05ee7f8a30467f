"""What follows a finished shard is enqueued, though the connection is cut in between."""

from collections.abc import Callable

import pytest
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError

from protocol.messages import Priority
from protocol.shard_queue import OUTSTANDING, SHARD_IMAGES, ShardQueue, rq_job_id
from tests.conftest import RedisServer

JOB = f"job_{1:032x}"
QUEUE = "rq:queue:tiny.normal"
N = SHARD_IMAGES * (OUTSTANDING + 1)


class Disturbed(ShardQueue):
    """Something happens, once, when all is looked at and nothing is enqueued yet."""

    def __init__(self, redis: Redis, disturb: Callable[[], object]) -> None:
        super().__init__(redis, "tiny", Priority.NORMAL)
        self._due = [disturb]

    def _enqueue(self, job_id: str, shard: int, pipe: Pipeline) -> None:
        super()._enqueue(job_id, shard, pipe)
        while self._due:
            self._due.pop()()


def test_a_connection_that_is_lost_is_nobody_who_was_faster(redis: Redis) -> None:
    queue = Disturbed(redis, lambda: redis.client_kill_filter(_type="normal", skipme=True))
    queue.enqueue_after(JOB, 0, N)
    assert redis.lrange(QUEUE, 0, -1) == [rq_job_id(JOB, OUTSTANDING).encode()]


def test_somebody_who_was_faster_is_enough(redis: Redis) -> None:
    other = ShardQueue(redis, "tiny", Priority.NORMAL)
    queue = Disturbed(redis, lambda: other.enqueue_after(JOB, 0, N))
    queue.enqueue_after(JOB, 0, N)
    assert redis.llen(QUEUE) == 1


def test_a_redis_that_stays_away_is_the_callers_to_wait_for(
    redis_server: RedisServer, redis: Redis
) -> None:
    queue = Disturbed(redis, redis_server.kill)
    with pytest.raises(ConnectionError):
        queue.enqueue_after(JOB, 0, N)
