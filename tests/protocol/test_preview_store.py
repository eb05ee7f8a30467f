"""Previews on a real server: shown of the first shard that is under way, and only to who looks."""

import uuid

import pytest
from redis import Redis

from protocol import keys
from protocol.job_store import Begun, JobStore
from protocol.preview_store import KEPT_S, WATCHED_S, PreviewStore
from tests.jobs import submit


@pytest.fixture
def previews(redis: Redis) -> PreviewStore:
    return PreviewStore(redis)


def begin(redis: Redis, job_id: str, shard: int) -> Begun:
    held = JobStore(redis).begin_shard(
        job_id, shard, run=uuid.uuid4().hex, engine="e", model_sha256="m"
    )
    assert isinstance(held, Begun)
    return held


def test_a_job_is_watched_for_a_while_after_somebody_looked(
    previews: PreviewStore, redis: Redis
) -> None:
    previews.watch("job_a")
    assert previews.watched({"job_a", "job_b"}) == {"job_a"}
    assert 0 < redis.ttl(keys.watched("job_a")) <= WATCHED_S
    assert previews.watched(set()) == set()


def test_the_first_shard_under_way_is_shown(previews: PreviewStore, redis: Redis) -> None:
    job_id = submit(redis, n=200)
    held = [begin(redis, job_id, shard) for shard in range(4)]
    assert previews.latest(job_id) is None
    previews.put(job_id, 2, b"two")
    assert previews.latest(job_id) == b"two", "the first that has one"
    previews.put(job_id, 0, b"zero")
    assert previews.latest(job_id) == b"zero"
    JobStore(redis).leave_shard(held[0])
    assert previews.latest(job_id) == b"two", "what has left is not shown"


def test_a_preview_goes_by_itself(previews: PreviewStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    begin(redis, job_id, 0)
    previews.put(job_id, 0, b"png")
    assert 0 < redis.ttl(keys.previews(job_id)) <= KEPT_S


def test_of_a_job_nobody_has_begun_there_is_none(previews: PreviewStore, redis: Redis) -> None:
    job_id = submit(redis, n=1)
    previews.put(job_id, 0, b"png")
    assert previews.latest(job_id) is None
