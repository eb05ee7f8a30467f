"""`python -m webhooks` beside real Redis and a real endpoint: nothing lost, whatever is killed."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from protocol import keys
from protocol.messages import WebhookSpec
from protocol.webhook_store import Delivery, DeliveryState, WebhookStore, of_job
from tests.app.played_worker import PlayedWorker
from tests.conftest import ROOT, RedisServer, until
from tests.jobs import submit
from tests.webhooks.conftest import SECRET, write_secret
from tests.webhooks.jobs import EVENTS, delivery, succeed, until_state, until_tried
from tests.webhooks.receiver import Receiver
from tests.webhooks.sender_process import SenderProcess
from webhooks.crowds import AT_ONE_HOST
from webhooks.schedule import DELAYS_S, Answer
from webhooks.sender import Sender

AT_ONCE = "0.000001"  # of the schedule's delays
HOURS = "10"  # the second try after 50 s: within no test


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis with a sender beside it, which goes through its schedule at once."""
    data_dir = tmp_path_factory.mktemp("sender")
    write_secret(data_dir)
    environment = {"WEBHOOK_RETRY_SCALE": AT_ONCE, "WEBHOOK_PUBLIC_URL": "https://a.b"}
    with (
        RedisServer.running() as server,
        SenderProcess.start(server.url, data_dir, **environment),
        server.client() as redis,
    ):
        yield redis


def test_an_end_arrives_signed_with_its_links(served: Redis, receiver: Receiver) -> None:
    path = "/204?signed"
    job_id = succeed(served, receiver.url(path), n=2, metadata={"über": 1})
    told = until_state(served, job_id, DeliveryState.DELIVERED)
    (request,) = receiver.requests(path)
    assert request["verified"]
    assert request["headers"]["webhook-id"] == told.id == of_job(job_id)
    assert abs(int(request["headers"]["webhook-timestamp"]) - time.time()) < 60
    assert request["headers"]["content-type"] == "application/json"
    event = json.loads(request["body"])
    assert (event["type"], event["data"]["id"]) == ("job.succeeded", job_id)
    assert event["data"]["urls"]["self"] == f"https://a.b/v1/jobs/{job_id}"
    assert event["data"]["metadata"] == {"über": 1}
    assert [(tried.status, tried.error) for tried in told.attempts] == [(204, None)]


def test_what_fails_is_sent_again_under_its_id_until_it_arrives(
    served: Redis, receiver: Receiver
) -> None:
    path = "/500/3?again"
    told = until_state(served, succeed(served, receiver.url(path)), DeliveryState.DELIVERED)
    requests = receiver.requests(path)
    assert [tried.status for tried in told.attempts] == [500, 500, 500, 200]
    assert {request["headers"]["webhook-id"] for request in requests} == {told.id}
    assert len({request["body"] for request in requests}) == 1
    assert all(request["verified"] for request in requests)


@pytest.mark.parametrize("status", [302, 500])
def test_what_always_fails_is_given_up_after_the_whole_schedule_and_kept(
    served: Redis, receiver: Receiver, status: int
) -> None:
    elsewhere = f"/200?from={status}"
    path = f"/{status}?to={receiver.url(elsewhere)}"
    job_id = succeed(served, receiver.url(path))
    told = until_state(served, job_id, DeliveryState.FAILED)
    assert [tried.status for tried in told.attempts] == [status] * len(DELAYS_S)
    assert receiver.requests(elsewhere) == [], "redirects are not followed"
    given_up, _ = WebhookStore(served).failed("default", before=None, limit=9)
    assert told in given_up


def test_an_endpoint_that_is_gone_is_asked_once(served: Redis, receiver: Receiver) -> None:
    told = until_state(served, succeed(served, receiver.url("/410?gone")), DeliveryState.DISABLED)
    assert [tried.status for tried in told.attempts] == [410]


def test_an_endpoint_that_is_busy_is_left_alone_for_as_long_as_it_says(
    served: Redis, receiver: Receiver
) -> None:
    job_id = succeed(served, receiver.url("/429?retry-after=3000"))
    told = until_tried(served, job_id, 1)
    assert told.state is DeliveryState.PENDING
    assert told.next_at is not None
    assert 2999 < told.next_at - told.attempts[0].at < 3100


def test_an_answer_is_read_no_further_than_it_has_to_be(served: Redis, receiver: Receiver) -> None:
    path = "/endless"
    told = until_state(served, succeed(served, receiver.url(path)), DeliveryState.DELIVERED)
    assert [tried.status for tried in told.attempts] == [200]
    end = until(lambda: next((line for line in receiver.told if "sent" in line), None))
    assert end["sent"] < 32 * 2**20, "what sockets hold between them, and no more"


def test_one_that_does_not_answer_is_hung_up_on(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_TIMEOUT_S="1"):
        told = until_tried(redis, succeed(redis, receiver.url("/silent?alone")), 1)
    assert told.attempts[0].error == "no answer within 1 s"


def test_a_host_that_does_not_answer_holds_no_other_up(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    """Its deliveries would fill the sender for longer than this test waits."""
    for k in range(AT_ONE_HOST + 2):
        succeed(redis, receiver.url(f"/silent?crowd={k}"))
    slow = {"WEBHOOK_TIMEOUT_S": "60", "WEBHOOK_AT_ONCE": str(2 * AT_ONE_HOST + 2)}
    with SenderProcess.start(redis_server.url, sender_dir, **slow):
        until(lambda: receiver.asked("/silent?crowd=") == AT_ONE_HOST)
        other = f"http://localhost:{receiver.port}/200?beside"
        until_state(redis, succeed(redis, other), DeliveryState.DELIVERED)
        assert receiver.asked("/silent?crowd=") == AT_ONE_HOST


def test_an_endpoint_that_may_not_be_reached_is_not_and_nothing_is_given_away(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    path = "/200?forbidden"
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_NETWORKS="10.0.0.0/8") as sender:
        job_id = succeed(redis, f"http://localhost:{receiver.port}{path}")
        told = until_tried(redis, job_id, 1)
        assert told.attempts[0].error == "Webhooks do not go to this host's address."
        assert sender.leave() == 0
    assert receiver.requests(path) == []
    log = "".join(sender.log)
    assert SECRET.removeprefix("whsec_") not in log
    assert path not in log, "a path may hold a token"


def test_a_sender_killed_between_attempts_loses_and_doubles_nothing(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    path = "/500/1?between"
    job_id = succeed(redis, receiver.url(path))
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_RETRY_SCALE=HOURS) as first:
        before = until_tried(redis, job_id, 1)
        first.kill()
    with SenderProcess.start(redis_server.url, sender_dir) as second:
        other = succeed(redis, receiver.url("/200?other"))
        until_state(redis, other, DeliveryState.DELIVERED)
        assert delivery(redis, job_id) == before, "not due yet, by the schedule of the first"
        redis.zadd(keys.deliveries_due(), {before.id: 0})
        told = until_state(redis, job_id, DeliveryState.DELIVERED)
        assert second.leave() == 0
    assert [tried.status for tried in told.attempts] == [500, 200]
    assert len(receiver.requests(path)) == 2


def test_a_sender_killed_in_an_attempt_leaves_it_to_another(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    path = "/silent?killed"
    job_id = succeed(redis, receiver.url(path))
    with SenderProcess.start(redis_server.url, sender_dir) as first:
        receiver.until_asked(path)
        first.kill()
    left = delivery(redis, job_id)
    assert (left.state, left.attempts, bool(left.lease)) == (DeliveryState.PENDING, (), True)
    redis.zadd(keys.deliveries_due(), {left.id: 0})  # its lease is over
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_TIMEOUT_S="0.5"):
        told = until_tried(redis, job_id, 1)
    assert told.tries == 1
    assert len(receiver.requests(path)) == 2
    assert {request["headers"]["webhook-id"] for request in receiver.requests(path)} == {told.id}


def test_of_several_senders_one_sends_each(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    with (
        SenderProcess.start(redis_server.url, sender_dir),
        SenderProcess.start(redis_server.url, sender_dir),
    ):
        until(lambda: len(WebhookStore(redis).live_senders()) == 2)
        jobs = [succeed(redis, receiver.url(f"/200?several={k}")) for k in range(30)]
        for job_id in jobs:
            until_state(redis, job_id, DeliveryState.DELIVERED)
    assert [len(receiver.requests(f"/200?several={k}")) for k in range(30)] == [1] * 30


def test_asked_to_leave_it_finishes_what_it_sends_and_begins_nothing(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    path = "/silent?leaving"
    job_id = succeed(redis, receiver.url(path))
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_TIMEOUT_S="3") as sender:
        receiver.until_asked(path)
        assert sender.leave() == 0
        late = succeed(redis, receiver.url("/200?late"))
    assert [tried.error for tried in delivery(redis, job_id).attempts] == ["no answer within 3 s"]
    assert delivery(redis, late).attempts == ()
    assert WebhookStore(redis).live_senders() == []


def test_a_fault_of_ours_counts_as_a_try_of_its_delivery_and_stops_no_other(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = (succeed(redis, f"https://{name}.example.org") for name in ("bad", "good"))
    recorded = asyncio.Event()

    async def crash(sent: Delivery) -> Answer:
        if sent.host == "bad.example.org":
            recorded.set()
            raise RuntimeError("a fault")
        await recorded.wait()
        sender.leave()
        return Answer(200)

    sender = Sender("s", WebhookStore(redis), crash, timeout_s=1.0, at_once=9, scale=1.0)
    asyncio.run(sender.run())
    told = delivery(redis, bad)
    assert (told.tries, told.lease) == (1, "")
    assert told.attempts[0].error == "a fault of this service"
    assert "RuntimeError: a fault" in caplog.text
    assert delivery(redis, good).state is DeliveryState.DELIVERED


def test_while_redis_is_away_it_waits_and_then_goes_on(
    redis_server: RedisServer, receiver: Receiver, sender_dir: Path
) -> None:
    with SenderProcess.start(redis_server.url, sender_dir) as sender:
        with redis_server.client() as redis:
            until(lambda: WebhookStore(redis).live_senders())
            spec = WebhookSpec(url=receiver.url("/200?away"), events=EVENTS)
            job_id = submit(redis, n=1, webhook=spec)
        redis_server.kill()
        until(lambda: sender.said("Redis is away"))
        redis_server.start()
        with redis_server.client() as redis:
            PlayedWorker(redis).finish(job_id)
            until_state(redis, job_id, DeliveryState.DELIVERED)
        assert sender.leave() == 0
    assert len(receiver.requests("/200?away")) == 1


def test_what_arrived_while_redis_was_away_is_recorded_and_not_sent_again(
    redis_server: RedisServer, redis: Redis, receiver: Receiver, sender_dir: Path
) -> None:
    path = "/silent?unrecorded"
    with SenderProcess.start(redis_server.url, sender_dir, WEBHOOK_TIMEOUT_S="2") as sender:
        job_id = succeed(redis, receiver.url(path))
        receiver.until_asked(path)
        redis_server.kill()
        until(lambda: sender.said(of_job(job_id)))
        redis_server.start()
        with redis_server.client() as again:
            told = until_tried(again, job_id, 1)
    assert (told.tries, len(receiver.requests(path))) == (1, 1)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"REDIS_URL": "localhost"}, "REDIS_URL: "),
        ({"WEBHOOK_NETWORKS": "10.0.0.1/8"}, "WEBHOOK_NETWORKS: "),
        ({"WEBHOOK_PORTS": "none"}, "WEBHOOK_PORTS: "),
        ({"WEBHOOK_TIMEOUT_S": "0"}, "WEBHOOK_TIMEOUT_S: "),
        ({"WEBHOOK_PUBLIC_URL": "example.org"}, "WEBHOOK_PUBLIC_URL: "),
        ({"WEBHOOK_SECRETS_FILE": "/nowhere"}, "/nowhere: No such file"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    with SenderProcess.start("redis://127.0.0.1:1", tmp_path, **environment) as sender:
        assert sender.process.wait(timeout=60) == 2
        until(lambda: sender.log)
    assert "cannot start: " + says in "".join(sender.log[-1:])


def test_it_is_healthy_while_it_speaks(redis_server: RedisServer, sender_dir: Path) -> None:
    def healthy() -> bool:
        command = [sys.executable, "-m", "webhooks.healthy"]
        environment = {"REDIS_URL": redis_server.url}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0

    with SenderProcess.start(redis_server.url, sender_dir) as sender:
        with redis_server.client() as redis:
            until(lambda: WebhookStore(redis).live_senders())
        assert healthy()
        sender.leave()
        assert not healthy()
