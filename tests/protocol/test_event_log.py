"""Places in the stream, and what happened between two of them."""

from typing import Any, cast

import pytest
from redis import Redis

from protocol import keys
from protocol.event_log import BEGINNING, MOST_MISSED, Entry, EventLog, JobEvent, StreamId
from protocol.job_store import Begun, JobStore
from protocol.messages import ImageManifest
from tests.jobs import record, submit


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0-0", (0, 0)),
        ("1790000000000-12", (1790000000000, 12)),
        ("18446744073709551615-0", (2**64 - 1, 0)),
        ("18446744073709551616-0", None),
        ("1", None),
        ("-1-0", None),
        ("1-0 ", None),
        ("1-0\n", None),
        ("", None),
        ("²-0", None),
    ],
)
def test_a_place_is_two_numbers(text: str, place: tuple[int, int] | None) -> None:
    parsed = StreamId.parse(text)
    assert parsed == place
    assert parsed is None or str(parsed) == text


def test_places_are_in_the_order_of_numbers_not_of_texts() -> None:
    assert StreamId(9, 10) < StreamId(10, 9) < StreamId(10, 10)


def test_a_record_knows_where_its_end_was_told(redis: Redis) -> None:
    job_id = submit(redis, n=1)
    assert record(redis, job_id).done_event is None
    JobStore(redis).cancel(job_id)
    assert record(redis, job_id).done_event == _newest(redis)


def test_what_was_missed_is_the_jobs_own_and_between_the_places(redis: Redis) -> None:
    _an_image(redis, index=7)
    since = _newest(redis)
    job_id = _an_image(redis, index=3)
    until = _newest(redis)
    _an_image(redis, index=4)
    missed = EventLog(redis).missed(job_id, since=since, until=until)
    assert missed is not None
    assert [(event.kind, event.index) for event in missed] == [("running", None), ("image", 3)]
    assert all(since < event.id <= until for event in missed)


def test_what_somebody_else_wrote_is_read_as_nobodys(redis: Redis) -> None:
    since = _newest_after(redis, {"job": "job_1", "event": "image", "index": 1})
    until = _newest_after(redis, {b"x": b"\xff", "index": "-1", "job": b"\xff"})
    assert EventLog(redis).missed("job_1", since=since, until=until) == []


def _newest_after(redis: Redis, entry: dict[Any, Any]) -> StreamId:
    redis.xadd(keys.events(), entry)
    return _newest(redis)


def test_what_was_trimmed_or_is_long_ago_or_is_to_come_cannot_be_told(redis: Redis) -> None:
    job_id = _an_image(redis, index=0)
    since = _newest(redis)
    log = EventLog(redis)
    assert log.missed(job_id, since=BEGINNING, until=since) is None
    assert log.missed(job_id, since=StreamId(since.ms + 1, 0), until=since) is None
    for _ in range(MOST_MISSED):
        redis.xadd(keys.events(), {"job": job_id, "event": "image", "index": 1})
    assert len(log.missed(job_id, since=since, until=_newest(redis)) or []) == MOST_MISSED
    redis.xadd(keys.events(), {"job": job_id, "event": "image", "index": 1})
    assert log.missed(job_id, since=since, until=_newest(redis)) is None


def _an_image(redis: Redis, *, index: int) -> str:
    """A job that was begun and has one image; its id."""
    job_id, store = submit(redis, n=40), JobStore(redis)
    held = store.begin_shard(job_id, 0, run="r", engine="e", model_sha256="m")
    assert isinstance(held, Begun)
    manifest = ImageManifest(index=index, pixels_sha256="", bytes=1, width=8, height=8)
    store.commit_image(held, manifest, steps_in_flight=0)
    return job_id


def _newest(redis: Redis) -> StreamId:
    (newest,) = cast(list[Entry], redis.xrevrange(keys.events(), count=1))
    return JobEvent.of(newest).id
