"""The oracle must see what it is there to see."""

from collections.abc import Callable

import pytest
from redis import Redis

from chaos.client import Entry
from chaos.oracle import findings
from chaos.plan import Wanted
from protocol import keys
from tests.app.played_worker import PlayedWorker, picture
from tests.jobs import submit


class PlayedEngine:
    """An engine that draws what PlayedWorker does."""

    engine = "engine-1"

    def draw(self, wanted: object) -> list[str]:
        """Nothing needs to be drawn before it is asked for."""
        return []

    def sha256(self, spec: object, seed: int, index: int) -> str:
        """Of the tile of one grey."""
        return picture(index)[1].pixels_sha256


def _nothing(redis: Redis, job_id: str) -> None:
    pass


def _a_second_end(redis: Redis, job_id: str) -> None:
    redis.xadd(keys.events(), {"job": job_id, "event": "done"})


def _a_lost_image(redis: Redis, job_id: str) -> None:
    redis.hdel(f"{keys.png_prefix(job_id)}0", "1")


def _an_image_of_another(redis: Redis, job_id: str) -> None:
    redis.hset(f"{keys.png_prefix(job_id)}0", "1", picture(2)[0])


def _an_image_less(redis: Redis, job_id: str) -> None:
    redis.hdel(keys.images(job_id), "1")


def _a_lost_job(redis: Redis, job_id: str) -> None:
    redis.delete(keys.job(job_id))


def _a_job_of_nobody(redis: Redis, job_id: str) -> None:
    submit(redis, metadata={"chaos": 7})


def _a_key_for_ever(redis: Redis, job_id: str) -> None:
    redis.persist(keys.images(job_id))


def _a_shard_in_a_registry(redis: Redis, job_id: str) -> None:
    redis.zadd("rq:wip:tiny.normal", {"left:over": 1})


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (_nothing, ""),
        (_a_second_end, "ended 2 times"),
        (_a_lost_image, "image 1 is listed and not there"),
        (_an_image_of_another, "image 1 is not what it is alone"),
        (_an_image_less, "lists 3"),
        (_a_lost_job, "is not there"),
        (_a_job_of_nobody, "asked for 0 times"),
        (_a_key_for_ever, "would stay for ever"),
        (_a_shard_in_a_registry, "1 left in started"),
    ],
)
def test_a_broken_promise_is_found(
    redis: Redis, breaks: Callable[[Redis, str], None], words: str
) -> None:
    worker = PlayedWorker(redis)
    job_id = submit(redis, metadata={"chaos": 0})
    worker.finish(job_id)
    for key in (*redis.keys("rq:job:*"), "rq:queue:tiny.normal"):
        redis.delete(key)
    breaks(redis, job_id)
    ledger = [Entry(Wanted(0, {}), accepted=[job_id])]
    found = findings(redis, ledger, PlayedEngine(), "tiny")  # type: ignore[arg-type]
    assert any(words in finding for finding in found) if words else found == []


@pytest.mark.parametrize(
    ("keyed", "told_of_both", "words"),
    [
        (False, False, None),
        (True, False, "asked for 1 times and is there 2 times"),
        (True, True, "one key, and jobs"),
    ],
)
def test_a_key_makes_one_job_however_many_answers_were_lost(
    redis: Redis, keyed: bool, told_of_both: bool, words: str | None
) -> None:
    first, second = (submit(redis, metadata={"chaos": 0}) for _ in range(2))
    told = [first, second] if told_of_both else [first]
    ledger = [Entry(Wanted(0, {}, keyed=keyed), accepted=told, unanswered=1)]
    found = findings(redis, ledger, PlayedEngine(), "tiny")  # type: ignore[arg-type]
    about = [finding for finding in found if finding.startswith("job 0")]
    if words is None:
        assert about == []
    else:
        assert any(words in finding for finding in about)
