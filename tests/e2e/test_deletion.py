"""A job deleted under way ends for RQ as any other does, with a real worker."""

import signal
from pathlib import Path

from redis import Redis

from protocol.counted import Count
from protocol.counts import Counts
from protocol.job_store import JobStore
from protocol.states import JobState
from tests.conftest import Workers, until
from tests.jobs import DDIM_20, record, submit


def test_images_finished_after_it_leave_nothing_behind(
    redis: Redis, workers: Workers, tiny_model: Path
) -> None:
    process = workers.start(tiny_model)
    job_id = submit(redis, n=2000, sampler=DDIM_20)
    until(lambda: record(redis, job_id).images_done)
    assert JobStore(redis).delete(job_id) is JobState.RUNNING
    until(lambda: not redis.exists("rq:wip:tiny.normal"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    lasting = [key for key in redis.keys(f"*{job_id}*") if redis.ttl(key) < 0]
    assert lasting == []
    counts = Counts(redis).read()
    assert counts[Count.IMAGES, "tiny"] > 0
    assert (Count.FENCED, "tiny") not in counts, "no other run had its shards"
