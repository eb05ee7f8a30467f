"""The outbox on a real server: one delivery for each end, taken by one at a time, never lost."""

import time

import pytest
from redis import Redis

from protocol import keys
from protocol.job_store import JobStore
from protocol.messages import DeliveryAttempt, JobAbout, JobError, WebhookEvent, WebhookSpec
from protocol.webhook_store import (
    ATTEMPTS_KEPT,
    Busy,
    Delivery,
    DeliveryState,
    Settlement,
    UnderWay,
    WebhookStore,
    of_job,
)
from tests.app.played_worker import PlayedWorker
from tests.conftest import until
from tests.jobs import submit
from tests.webhooks.jobs import EVENTS, delivery, succeed

URL = "https://example.org/hook"
AGAIN = Settlement(DeliveryState.PENDING, 1, 0.0)
LATER = Settlement(DeliveryState.PENDING, 1, 3600.0)
OVER = Settlement(DeliveryState.FAILED, 10, None)
TRIED = DeliveryAttempt(at=1.0, status=500)


@pytest.fixture
def store(redis: Redis) -> WebhookStore:
    return WebhookStore(redis)


def claim(store: WebhookStore, *, lease_s: float = 60.0) -> list[str]:
    return [taken.id for taken in store.claim(10, lease_s=lease_s)]


def take(store: WebhookStore, *, lease_s: float = 60.0) -> Delivery:
    (taken,) = store.claim(10, lease_s=lease_s)
    return taken


def end(redis: Redis, job_id: str, event: WebhookEvent) -> None:
    match event:
        case "job.succeeded":
            PlayedWorker(redis).finish(job_id)
        case "job.failed":
            PlayedWorker(redis).fail(job_id)
        case "job.canceled":
            JobStore(redis).cancel(job_id)


@pytest.mark.parametrize("event", EVENTS)
def test_every_end_is_told_once_and_as_long_as_the_job_is_known(
    store: WebhookStore, redis: Redis, event: WebhookEvent
) -> None:
    spec = WebhookSpec(url=URL, events=EVENTS)
    job_id = submit(redis, webhook=spec, n=2, metadata={"über": [1]})
    assert store.get(of_job(job_id)) is None
    end(redis, job_id, event)
    JobStore(redis).cancel(job_id)
    JobStore(redis).fail_job(job_id, 0, JobError(code="c", title="t", detail="d"))
    told = take(store)
    assert (told.type, told.job_id, told.url, told.tenant) == (event, job_id, URL, "default")
    assert told.about == JobAbout(task="sample", model="tiny", metadata={"über": [1]})
    assert (told.images_done, told.n) == (2 if event == "job.succeeded" else 0, 2)
    assert (told.error is not None) == (event == "job.failed")
    assert 0 <= redis.ttl(keys.job(job_id)) - redis.ttl(keys.delivery(told.id)) <= 1
    assert claim(store) == []


@pytest.mark.parametrize("event", EVENTS)
def test_an_end_nobody_asked_to_be_told_of_is_not(
    store: WebhookStore, redis: Redis, event: WebhookEvent
) -> None:
    others = tuple(other for other in EVENTS if other != event)
    for webhook in (None, WebhookSpec(url=URL, events=others)):
        end(redis, submit(redis, webhook=webhook), event)
    assert claim(store) == []


def test_the_longest_due_goes_first_and_no_more_than_asked_for(
    store: WebhookStore, redis: Redis
) -> None:
    due = [of_job(succeed(redis, URL)) for _ in range(3)]
    assert [taken.id for taken in store.claim(2, lease_s=60)] == due[:2]
    assert claim(store) == due[2:]


def due_s(redis: Redis, id_: str) -> float:
    """Seconds until it is."""
    at = redis.zscore(keys.deliveries_due(), id_)
    assert isinstance(at, float)
    return at - time.time()


def test_no_more_is_taken_of_a_host_than_may_be_under_way_and_others_come_first(
    store: WebhookStore, redis: Redis
) -> None:
    """Of thousands that wait for one host, those behind them do not."""
    crowd = [of_job(succeed(redis, f"https://slow.example/{k}")) for k in range(40)]
    other = of_job(succeed(redis, "https://quick.example/"))
    slow = {"slow.example": Busy(1, took_s=15.0)}
    taken = store.claim(5, lease_s=60, under_way=UnderWay(hosts=slow, most_at_host=3))
    assert [(each.id, each.host) for each in taken] == [
        (crowd[0], "slow.example"),
        (crowd[1], "slow.example"),
        (other, "quick.example"),
    ]
    assert claim(store) == [], "the rest is put off"
    waits = [due_s(redis, id_) for id_ in crowd[2:]]
    assert 2 < waits[0] < 5.1, "until one of three has ended, or sooner"
    assert all(29 < wait < 60.1 for wait in waits[12:]), "but a minute at most"
    assert max(waits) - min(waits[12:]) > 10, "and not all at once"
    assert {delivery(redis, id_.replace("msg", "job")).lease for id_ in crowd[2:]} == {""}


def test_a_crowd_at_a_host_that_is_quick_waits_for_as_long_as_its_turn_takes(
    store: WebhookStore, redis: Redis
) -> None:
    crowd = [of_job(succeed(redis, URL)) for _ in range(20)]
    quick = {"example.org": Busy(2, took_s=0.5)}
    assert store.claim(5, lease_s=60, under_way=UnderWay(hosts=quick, most_at_host=2)) == []
    assert 2 < due_s(redis, crowd[-1]) < 5.1


def test_one_tenant_leaves_places_to_the_others(store: WebhookStore, redis: Redis) -> None:
    spread = [of_job(succeed(redis, f"https://{k}.example/")) for k in range(4)]
    store.enqueue_test("msg_other", "https://5.example/", tenant="other")
    busy = UnderWay(tenants={"default": 1}, most_of_tenant=3)
    taken = store.claim(9, lease_s=60, under_way=busy)
    assert [each.id for each in taken] == [*spread[:2], "msg_other"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://EXAMPLE.org:443/a",
        "https://example.org?1",
        "https://example.org.:8443/",
        "https://user:word@example.org#x",
    ],
)
def test_a_host_is_one_however_it_is_written(store: WebhookStore, redis: Redis, url: str) -> None:
    succeed(redis, url)
    assert take(store).host == "example.org"


def test_an_address_is_a_host_too(store: WebhookStore, redis: Redis) -> None:
    for url in ("https://[2001:db8::1]:444/x", "https://192.0.2.1:8443"):
        succeed(redis, url)
    assert [each.host for each in store.claim(2, lease_s=60)] == ["[2001:db8::1]", "192.0.2.1"]


def test_what_its_sender_left_is_taken_again_and_the_sender_may_not_come_back(
    store: WebhookStore, redis: Redis
) -> None:
    job_id = succeed(redis, URL)
    frozen = take(store, lease_s=0.05)
    second = until(lambda: store.claim(10, lease_s=60))[0]
    assert (second.id, second.tries) == (frozen.id, 0)
    assert not store.settle(frozen, OVER, TRIED)
    assert delivery(redis, job_id).state is DeliveryState.PENDING
    assert store.settle(second, LATER, TRIED)
    assert not store.settle(second, OVER, TRIED), "a lease is for one answer"


def test_a_lease_that_ran_out_is_good_for_as_long_as_nobody_has_another(
    store: WebhookStore, redis: Redis
) -> None:
    job_id = succeed(redis, URL)
    late = take(store, lease_s=0.0)
    assert store.settle(late, OVER, TRIED)
    assert delivery(redis, job_id).state is DeliveryState.FAILED
    assert claim(store) == []


def test_what_is_put_off_is_due_then_and_what_is_over_is_never(
    store: WebhookStore, redis: Redis
) -> None:
    job_id = succeed(redis, URL)
    store.settle(take(store), AGAIN, TRIED)
    again = take(store)
    assert (again.tries, again.attempts) == (1, (TRIED,))
    store.settle(again, LATER, TRIED)
    assert claim(store) == []
    put_off = delivery(redis, job_id)
    assert put_off.next_at is not None
    assert put_off.next_at - put_off.occurred_at > 3599
    assert store.replay(put_off)
    store.settle(take(store), Settlement(DeliveryState.DELIVERED, 1, None), TRIED)
    assert redis.zcard(keys.deliveries_due()) == 0
    assert delivery(redis, job_id).next_at is None


def test_an_attempt_is_remembered_but_not_every_one_of_them(
    store: WebhookStore, redis: Redis
) -> None:
    job_id = succeed(redis, URL)
    for k in range(ATTEMPTS_KEPT + 2):
        store.settle(take(store), AGAIN, DeliveryAttempt(at=float(k)))
    kept = [attempt.at for attempt in delivery(redis, job_id).attempts]
    assert kept == [float(k) for k in range(2, ATTEMPTS_KEPT + 2)]


def test_a_delivery_that_has_expired_is_neither_sent_nor_brought_back(
    store: WebhookStore, redis: Redis
) -> None:
    gone, held = of_job(succeed(redis, URL)), of_job(succeed(redis, URL))
    redis.delete(keys.delivery(gone))
    taken = take(store)
    assert taken.id == held
    redis.delete(keys.delivery(held))
    assert not store.settle(taken, AGAIN, TRIED)
    assert not store.replay(taken)
    assert redis.zscore(keys.deliveries_due(), gone) is None
    assert not redis.exists(keys.delivery(gone), keys.delivery(held))


def test_a_record_that_nobody_could_have_written_stops_nobody(
    store: WebhookStore, redis: Redis
) -> None:
    good = of_job(succeed(redis, URL))
    redis.set(keys.delivery("msg_string"), "x")
    redis.hset(keys.delivery("msg_empty"), "state", "pending")
    hostile: dict[str, str | bytes] = {
        "attempts": "[1]",
        "about": "[]",
        "state": "odd",
        "url": b"\xff",
    }
    for name, value in hostile.items():
        redis.copy(keys.delivery(good), keys.delivery(f"msg_{name}"))
        redis.hset(keys.delivery(f"msg_{name}"), name, value)
    redis.zadd(keys.deliveries_due(), {b"\xff": 0})
    for name in ("string", "empty", *hostile):
        redis.zadd(keys.deliveries_due(), {f"msg_{name}": 0})
    assert claim(store) == [good]
    assert redis.zrange(keys.deliveries_due(), 0, -1) == [good.encode()]


def test_a_replay_begins_the_schedule_anew_but_does_not_double_an_attempt_under_way(
    store: WebhookStore, redis: Redis
) -> None:
    job_id = succeed(redis, URL)
    taken = take(store)
    assert not store.replay(taken)
    store.settle(taken, OVER, TRIED)
    assert [given_up.id for given_up in store.failed("default", before=None, limit=9)[0]] == [
        taken.id
    ]
    assert store.replay(delivery(redis, job_id))
    again = take(store)
    assert (again.tries, again.state, again.attempts) == (0, DeliveryState.PENDING, (TRIED,))
    assert store.failed("default", before=None, limit=9) == ([], None)


def test_those_given_up_are_listed_newest_first_by_the_page_and_by_tenant(
    store: WebhookStore, redis: Redis
) -> None:
    ids = []
    for _ in range(5):
        ids.append(of_job(succeed(redis, URL)))
        store.settle(take(store), OVER, TRIED)
    redis.delete(keys.delivery(ids[3]))
    first, rest = store.failed("default", before=None, limit=3)
    assert [given_up.id for given_up in first] == [ids[4], ids[2]]
    second, end = store.failed("default", before=rest, limit=3)
    assert ([given_up.id for given_up in second], end) == ([ids[1], ids[0]], None)
    assert store.failed("other", before=None, limit=3) == ([], None)


def test_a_sender_is_known_while_it_speaks(store: WebhookStore) -> None:
    store.heartbeat("a-1")
    store.heartbeat("b-2")
    assert store.live_senders() == ["a-1", "b-2"]
    store.leave("a-1")
    assert store.live_senders() == ["b-2"]
