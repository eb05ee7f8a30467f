"""A file is always the one that its manifest was made of, whoever else wrote."""

import pytest
from redis import Redis

from protocol import keys
from protocol.image_store import RedisImageStore
from protocol.job_store import JobStore
from tests.jobs import submit
from tests.protocol.test_job_store import begun, commit


@pytest.fixture
def images(redis: Redis) -> RedisImageStore:
    return RedisImageStore(redis)


def test_files_are_found_by_slot(redis: Redis, images: RedisImageStore) -> None:
    job_id = submit(redis, n=4, first_index=10)
    held = begun(JobStore(redis), job_id)
    for index in (10, 12):
        images.put(held, index, b"png %d" % index)
    assert images.get_many(job_id, range(4)) == [b"png 10", None, b"png 12", None]
    assert images.get(job_id, 2) == b"png 12"


def test_what_a_dead_worker_has_stored_and_not_committed_is_replaced(
    redis: Redis, images: RedisImageStore
) -> None:
    job_id, store = submit(redis, n=1), JobStore(redis)
    images.put(begun(store, job_id), 0, b"of another engine")
    successor = begun(store, job_id)
    images.put(successor, 0, b"its own")
    commit(store, successor, 0)
    assert images.get(job_id, 0) == b"its own"


def test_a_worker_thought_dead_replaces_nothing(redis: Redis, images: RedisImageStore) -> None:
    job_id, store = submit(redis, n=2), JobStore(redis)
    zombie, successor = begun(store, job_id), begun(store, job_id)
    images.put(successor, 0, b"its own")
    images.put(zombie, 0, b"late")
    commit(store, successor, 0)
    images.put(zombie, 0, b"later")
    images.put(zombie, 1, b"late")
    assert images.get_many(job_id, range(2)) == [b"its own", None]


def test_files_expire_with_their_job_and_none_comes_after_its_end(
    redis: Redis, images: RedisImageStore
) -> None:
    job_id, store = submit(redis, n=1), JobStore(redis)
    held = begun(store, job_id)
    images.put(held, 0, b"png")
    commit(store, held, 0)
    images.put(held, 0, b"late")
    assert images.get(job_id, 0) == b"png"
    assert 0 < redis.ttl(keys.png_prefix(job_id) + "0") <= 3600
