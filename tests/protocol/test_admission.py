"""What may be queued and how often one may ask, where it is counted."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from protocol import keys
from protocol.admission import Bound, Bounds, NotAdmitted
from protocol.job_intake import JobIntake, first_shards
from protocol.job_record import NewJob
from protocol.job_store import Begun, JobStore
from protocol.messages import ImageManifest, JobError
from protocol.rate_limiter import RateLimiter
from tests.conftest import RedisServer, until
from tests.jobs import record, request

EMPTY: dict[bytes, bytes] = {}


def submit(
    redis: Redis, *, n: int, bounds: Bounds, tenant: str = "anna", image_bytes: int = 0
) -> str:
    wanted, job_id = request(n=n), f"job_{uuid.uuid4().hex}"
    job = NewJob(
        job_id, wanted, model_sha256="", created_at=0.0, tenant=tenant, image_bytes=image_bytes
    )
    JobIntake(redis).submit(job, bounds=bounds, enqueue=first_shards(redis, job))
    return job_id


def dump(redis: Redis) -> dict[bytes, Any]:
    """All there is."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def refused(redis: Redis, *, n: int, bounds: Bounds, image_bytes: int = 0) -> NotAdmitted:
    """A submission that must not come about, and leaves no trace."""
    before = dump(redis)
    with pytest.raises(NotAdmitted) as raised:
        submit(redis, n=n, bounds=bounds, image_bytes=image_bytes)
    assert dump(redis) == before
    return raised.value


@pytest.mark.parametrize(
    ("bounds", "bound"),
    [
        (Bounds(tenant_queue=10), Bound.TENANT_QUEUE),
        (Bounds(tenant_day=10), Bound.TENANT_DAY),
        (Bounds(queue=10), Bound.QUEUE),
    ],
)
def test_up_to_the_bound_and_not_one_image_further(
    redis: Redis, bounds: Bounds, bound: Bound
) -> None:
    submit(redis, n=7, bounds=bounds)
    refusal = refused(redis, n=4, bounds=bounds)
    assert (refusal.bound, refusal.there) == (bound, 7)
    assert 0 < refusal.midnight_s <= 86_400
    submit(redis, n=3, bounds=bounds)
    refused(redis, n=1, bounds=bounds)


def test_room_is_for_the_images_of_all_jobs_that_are_yet_to_be_made(redis: Redis) -> None:
    bounds = Bounds(room=250_000)
    submit(redis, n=10, bounds=bounds, image_bytes=10_000)
    assert refused(redis, n=14, bounds=bounds, image_bytes=10_000).bound is Bound.ROOM
    submit(redis, n=13, bounds=bounds, image_bytes=10_000)


def test_tenants_are_counted_apart_and_the_service_as_a_whole(redis: Redis) -> None:
    submit(redis, n=5, bounds=Bounds(tenant_queue=5))
    submit(redis, n=5, bounds=Bounds(tenant_queue=5), tenant="bert")
    assert refused(redis, n=1, bounds=Bounds(queue=10)).there == 10


def test_many_at_once_from_several_front_ends_fill_a_queue_exactly(
    redis_server: RedisServer,
) -> None:
    def attempt(client: Redis) -> bool:
        try:
            submit(client, n=3, bounds=Bounds(tenant_queue=31))
            return True
        except NotAdmitted:
            return False

    clients = [redis_server.client() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(attempt, clients * 10))
    assert accepted.count(True) == 10
    assert clients[0].hget(keys.queued(), "tenant:anna") == b"30"
    assert len(clients[0].keys("denoised:job:*")) == 10
    for client in clients:
        client.close()


def begun(redis: Redis, job_id: str) -> Begun:
    held = JobStore(redis).begin_shard(job_id, 0, run="w", engine="e", model_sha256="")
    assert isinstance(held, Begun)
    return held


def cancel_queued(redis: Redis, job_id: str) -> None:
    JobStore(redis).cancel(job_id)


def cancel_running(redis: Redis, job_id: str) -> None:
    held = begun(redis, job_id)
    JobStore(redis).cancel(job_id)
    JobStore(redis).leave_shard(held)


def fail(redis: Redis, job_id: str) -> None:
    JobStore(redis).fail_job(job_id, 0, JobError(code="worker_lost", title="", detail=""))


def abandon_and_fail(redis: Redis, job_id: str) -> None:
    begun(redis, job_id)
    fail(redis, job_id)
    fail(redis, job_id)


def make(redis: Redis, job_id: str) -> None:
    """A worker is lost after the first image; another one does it all."""
    zombie = begun(redis, job_id)
    commit(redis, zombie, 0)
    held = begun(redis, job_id)
    for index in range(record(redis, job_id).request.n):
        commit(redis, held, index)
        commit(redis, zombie, index)
    JobStore(redis).leave_shard(held)
    JobStore(redis).cancel(job_id)


def commit(redis: Redis, held: Begun, index: int) -> None:
    manifest = ImageManifest(index=index, pixels_sha256="", bytes=1, width=8, height=8)
    JobStore(redis).commit_image(held, manifest, steps_in_flight=0)


@pytest.mark.parametrize("end", [cancel_queued, cancel_running, fail, abandon_and_fail, make])
def test_nothing_is_queued_any_more_however_a_job_ends(
    redis: Redis, end: Callable[[Redis, str], None]
) -> None:
    job_id = submit(redis, n=5, bounds=Bounds(), image_bytes=1000)
    end(redis, job_id)
    assert record(redis, job_id).status.done
    assert redis.hgetall(keys.queued()) == EMPTY


def test_an_overdue_job_is_no_longer_queued(redis: Redis) -> None:
    job_id = submit(redis, n=5, bounds=Bounds())
    held = begun(redis, job_id)
    redis.hset(keys.job(job_id), mapping={"timeout_s": "1", "started_at": "1.0"})
    JobStore(redis).report_steps(held, 1)
    assert redis.hgetall(keys.queued()) == EMPTY


def test_each_image_makes_place_for_another(redis: Redis) -> None:
    bounds = Bounds(tenant_queue=5)
    held = begun(redis, submit(redis, n=5, bounds=bounds))
    refused(redis, n=1, bounds=bounds)
    commit(redis, held, 3)
    commit(redis, held, 3)
    submit(redis, n=1, bounds=bounds)
    refused(redis, n=1, bounds=bounds)


def test_the_count_outlives_a_killed_redis(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        held = begun(redis, submit(redis, n=5, bounds=Bounds(), image_bytes=10))
        commit(redis, held, 0)
    redis_server.kill()
    redis_server.start()
    with redis_server.client() as redis:
        assert redis.hget(keys.queued(), "images") == b"4"
        assert redis.hget(keys.queued(), "bytes") == b"40"


def test_a_redis_without_room_carries_out_no_part_of_a_submission(redis: Redis) -> None:
    redis.config_set("maxmemory", "1")
    before = redis.dbsize()
    with pytest.raises(ResponseError, match="maxmemory"):
        submit(redis, n=5, bounds=Bounds())
    assert redis.dbsize() == before


def test_a_bucket_holds_its_burst_and_is_shared(redis_server: RedisServer) -> None:
    with redis_server.client() as here, redis_server.client() as there:
        limiters = [RateLimiter(here), RateLimiter(there)]
        taken = [limiters[i % 2].take("anna", per_s=0.001, burst=3) for i in range(5)]
        assert [each.granted for each in taken] == [True, True, True, False, False]
        assert [each.left for each in taken] == [2, 1, 0, 0, 0]
        assert all(990 < each.more_in_s <= 1000 for each in taken)
        assert limiters[0].take("bert", per_s=0.001, burst=3).granted


def test_a_bucket_fills_again(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    assert limiter.take("anna", per_s=20, burst=1).granted
    until(lambda: limiter.take("anna", per_s=20, burst=1).granted)
    assert limiter.take("slow", per_s=0.001, burst=1).granted
    assert not limiter.take("slow", per_s=0.001, burst=1).granted


def test_a_bucket_that_is_full_takes_no_memory(redis: Redis) -> None:
    RateLimiter(redis).take("anna", per_s=50, burst=1)
    until(lambda: not redis.exists(keys.bucket("anna")))


def test_where_redis_has_no_room_requests_are_not_counted(redis: Redis) -> None:
    redis.config_set("maxmemory", "1")
    taken = [RateLimiter(redis).take("anna", per_s=0.001, burst=1) for _ in range(2)]
    assert [each.granted for each in taken] == [True, True]
