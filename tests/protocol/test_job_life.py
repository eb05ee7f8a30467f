"""A job's life as a state machine: any order of what workers, clients and crashes may do."""

import uuid
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol import keys
from protocol.job_store import Begun, Commit, JobStore
from protocol.messages import ImageManifest, JobError, WebhookSpec
from protocol.states import MOVES, JobState
from protocol.webhook_store import WebhookStore, of_job
from tests.conftest import SERVER, RedisServer
from tests.jobs import events, record, submit
from tests.protocol.conftest import OLDEST, without_oldest

N, SHARDS = 40, 2
WEBHOOK = WebhookSpec(
    url="https://example.org", events=("job.succeeded", "job.failed", "job.canceled")
)
ERROR = JobError(code="worker_lost", title="Worker lost", detail="")


class JobLife(RuleBasedStateMachine):
    """One job of two shards; a model of what must be true beside it."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.server.client()
        self.redis.flushdb()
        self.store = JobStore(self.redis)
        self.job_id = submit(self.redis, n=N, webhook=WEBHOOK)
        self.holders: dict[int, Begun] = {}
        self.zombies: list[Begun] = []
        self.images: set[int] = set()
        self.seen = JobState.QUEUED

    @rule(shard=st.integers(0, SHARDS - 1), alone=st.booleans())
    def begin(self, shard: int, alone: bool) -> None:
        """A claim, or a second one after a crash."""
        held = self.store.begin_shard(
            self.job_id, shard, run=uuid.uuid4().hex, engine="e", model_sha256="m", alone=alone
        )
        if isinstance(held, Begun):
            if shard in self.holders:
                self.zombies.append(self.holders[shard])
            self.holders[shard] = held

    @rule(shard=st.integers(0, SHARDS - 1), slots=st.integers(1, 32))
    def commit_some(self, shard: int, slots: int) -> None:
        if shard not in self.holders:
            return
        for index in list(range(shard * 32, min((shard + 1) * 32, N)))[:slots]:
            verdict = self._commit(self.holders[shard], index)
            assert verdict is not Commit.FENCED
            assert (verdict is Commit.COMMITTED) == (
                index not in self.images and verdict is not Commit.CLOSED
            )
            if verdict is Commit.COMMITTED:
                self.images.add(index)

    @precondition(lambda self: self.zombies)
    @rule(which=st.integers(0, 9), index=st.integers(0, N - 1))
    def a_zombie_speaks(self, which: int, index: int) -> None:
        zombie = self.zombies[which % len(self.zombies)]
        open_ = record(self.redis, self.job_id).status in (JobState.QUEUED, JobState.RUNNING)
        assert self._commit(zombie, index) is (Commit.FENCED if open_ else Commit.CLOSED)
        self.store.fail_job(self.job_id, zombie.shard, ERROR, epoch=zombie.epoch)
        self.store.leave_shard(zombie)

    @rule(shard=st.integers(0, SHARDS - 1))
    def crash(self, shard: int) -> None:
        if shard in self.holders:
            self.store.crash_shard(self.holders.pop(shard), ERROR)

    @rule(shard=st.integers(0, SHARDS - 1), given_back=st.booleans())
    def leave(self, shard: int, given_back: bool) -> None:
        if shard in self.holders:
            self.store.leave_shard(self.holders.pop(shard), given_back=given_back)

    @rule()
    def cancel(self) -> None:
        self.store.cancel(self.job_id)

    @precondition(lambda self: len(self.images) > N // 2)
    @rule(shard=st.integers(0, SHARDS - 1))
    def fail(self, shard: int) -> None:
        self.store.fail_job(self.job_id, shard, ERROR)

    @invariant()
    def only_allowed_moves(self) -> None:
        status = record(self.redis, self.job_id).status
        assert status is self.seen or _reachable(self.seen, status), f"{self.seen} -> {status}"
        self.seen = status

    @invariant()
    def images_are_counted_exactly(self) -> None:
        assert record(self.redis, self.job_id).images_done == len(self.images)
        assert set(self.store.manifests(self.job_id, range(N))) == self.images

    @invariant()
    def what_is_queued_is_what_is_open_and_not_made(self) -> None:
        job = record(self.redis, self.job_id)
        left = 0 if job.status.done else N - len(self.images)
        names = ("images", "tenant:default", "queue:tiny.normal")
        queued = cast(dict[bytes, bytes], self.redis.hgetall(keys.queued()))
        queued.pop(b"bytes", None)  # of no size here
        assert queued == {name.encode(): str(left).encode() for name in names if left}

    @invariant()
    def it_ends_once_and_with_all_images_if_it_succeeds(self) -> None:
        status = record(self.redis, self.job_id).status
        assert events(self.redis, self.job_id).count("done") == int(status.done)
        assert (status is JobState.SUCCEEDED) == (len(self.images) == N)

    @invariant()
    def its_end_is_told_and_nothing_before_it(self) -> None:
        status, told = record(self.redis, self.job_id).status, of_job(self.job_id)
        assert self.redis.zrange(keys.deliveries_due(), 0, -1) == [told.encode()] * status.done
        delivery = WebhookStore(self.redis).get(told)
        assert (delivery and delivery.type) == (f"job.{status}" if status.done else None)

    @invariant()
    def no_cancel_hangs_without_a_holder(self) -> None:
        if record(self.redis, self.job_id).status is JobState.CANCELING:
            assert self.redis.hlen(keys.leases(self.job_id)) > 0

    def teardown(self) -> None:
        self.redis.close()

    def _commit(self, held: Begun, index: int) -> Commit:
        manifest = ImageManifest(index=index, pixels_sha256="", bytes=1, width=8, height=8)
        return self.store.commit_image(held, manifest, steps_in_flight=0)


def _reachable(before: JobState, after: JobState) -> bool:
    """In one rule a job may take several moves: queued to running to canceled, say."""
    return after in MOVES[before] or any(_reachable(state, after) for state in MOVES[before])


class TestJobLife(JobLife.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    program = SERVER

    @classmethod
    def setUpClass(cls) -> None:
        JobLife.server = cls.enterClassContext(RedisServer.running(cls.program))


@without_oldest
class TestJobLifeOnTheOldest(TestJobLife):
    program = OLDEST
