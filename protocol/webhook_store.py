"""Webhooks to send: written by the end of a job, taken by senders, kept for who asks.

The outbox is a sorted set by due time and a hash for each delivery, so that it lasts as long as
the jobs do. A delivery is sent at least once: a lease that runs out makes it due again.
"""

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter
from redis import Redis

from protocol import counts, keys
from protocol.clock import now_s
from protocol.messages import DeliveryAttempt, JobAbout, JobError
from protocol.scripts import scripts_in

log = logging.getLogger(__name__)
LUA = Path(__file__).parent / "lua" / "webhooks"
TEST_KEPT_S = 86_400
ATTEMPTS_KEPT = 20  # the latest; a schedule has ten
SENDER_TTL_S = 10.0


class DeliveryState(StrEnum):
    """What a delivery can be; the words of the HTTP contract."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # as often as is tried
    DISABLED = "disabled"  # the endpoint said 410: never again


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. `id` is the `webhook-id` of every attempt."""

    id: str
    tenant: str
    type: str
    url: str
    occurred_at: float
    state: DeliveryState
    tries: int  # of the schedule, which a replay begins anew
    attempts: tuple[DeliveryAttempt, ...]  # the latest, oldest first
    next_at: float | None  # when it is due
    lease: str  # of the sender that has it; "" where none has
    job_id: str | None  # None: a test, of no job
    about: JobAbout | None
    images_done: int
    n: int
    error: JobError | None
    host: str = ""  # that it goes to, as a claim has told them apart


@dataclass(frozen=True, slots=True)
class Busy:
    """How many attempts are under way at a host, and how long one takes (s), if that is known."""

    n: int
    took_s: float | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What a sender is busy with, and how much of it may be at once."""

    hosts: dict[str, Busy] = field(default_factory=dict)
    tenants: dict[str, int] = field(default_factory=dict)
    most_at_host: int = 1000
    most_of_tenant: int = 1000


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt has made of a delivery; `delay_s` until the next one, None: it is over."""

    state: DeliveryState
    tries: int
    delay_s: float | None


NOTHING = UnderWay()
_UNDER_WAY = TypeAdapter(UnderWay)
_ATTEMPTS = TypeAdapter(tuple[DeliveryAttempt, ...])


class WebhookStore:
    """All of a delivery's life but its beginning, which is `finish` in lua/prelude.lua."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._scripts = scripts_in(LUA, redis)

    def enqueue_test(self, delivery_id: str, url: str, *, tenant: str) -> None:
        """An event that says nothing, due now, by the way that all of them go."""
        fields = {"tenant": tenant, "type": "webhook.test", "url": url}
        fields |= {"state": DeliveryState.PENDING, "tries": "0", "attempts": "[]"}
        words = [word for field in fields.items() for word in field]
        self._scripts["enqueue"](
            keys=[keys.delivery(delivery_id), keys.deliveries_due()],
            args=[delivery_id, TEST_KEPT_S, *words],
        )

    def get(self, delivery_id: str) -> Delivery | None:
        """As it stands, or None where there is none (any more)."""
        raw = self.redis.hgetall(keys.delivery(delivery_id))
        return _delivery(delivery_id, cast(dict[bytes, bytes], raw)) if raw else None

    def failed(
        self, tenant: str, *, before: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        """A tenant's that were given up, newest first, and where to go on; None: nowhere.

        Of `limit` places; there are fewer deliveries where some have expired.
        """
        found = self.redis.zrevrangebyscore(
            keys.deliveries_failed(tenant),
            "+inf" if before is None else f"({before}",
            "-inf",
            start=0,
            num=limit,
            withscores=True,
        )
        members = cast(list[tuple[bytes, float]], found)
        deliveries = [self.get(id_.decode()) for id_, _ in members]
        rest = f"{members[-1][1]:.6f}" if len(members) == limit else None
        return [delivery for delivery in deliveries if delivery is not None], rest

    def replay(self, delivery: Delivery) -> bool:
        """Begin its schedule anew, at once; False where it is just being sent, or gone."""
        answer = self._scripts["replay"](
            keys=[
                keys.delivery(delivery.id),
                keys.deliveries_due(),
                keys.deliveries_failed(delivery.tenant),
            ],
            args=[delivery.id],
        )
        return bool(answer)

    def claim(self, limit: int, *, lease_s: float, under_way: UnderWay = NOTHING) -> list[Delivery]:
        """Those due the longest, for `lease_s`; after that anybody may take them again.

        What would be too much at a host, or of a tenant, is put off until about its turn.
        """
        busy = _UNDER_WAY.dump_json(under_way, exclude_none=True)
        found = self._scripts["claim"](
            keys=[keys.deliveries_due()],
            args=[keys.delivery(""), limit, lease_s, uuid.uuid4().hex, busy],
        )
        return list(self._readable(found))

    def _readable(self, found: list[tuple[bytes, bytes, list[bytes]]]) -> Iterator[Delivery]:
        """Without those that nothing of ours has written, which are dropped: they stop nobody."""
        for id_, host, flat in found:
            try:
                yield _delivery(id_.decode(), _pairs(flat), host=host.decode())
            except (KeyError, ValueError):
                log.warning("a delivery that cannot be read is dropped: %r", id_)
                self.redis.zrem(keys.deliveries_due(), id_)

    def settle(self, delivery: Delivery, settlement: Settlement, attempt: DeliveryAttempt) -> bool:
        """Record an attempt and let go; False, and nothing recorded, if the lease is another's."""
        attempts = (*delivery.attempts, attempt)[-ATTEMPTS_KEPT:]
        answer = self._scripts["settle"](
            keys=[
                keys.delivery(delivery.id),
                keys.deliveries_due(),
                keys.deliveries_failed(delivery.tenant),
                keys.counts(),
            ],
            args=[
                delivery.id,
                delivery.lease,
                settlement.state,
                settlement.tries,
                _ATTEMPTS.dump_json(attempts),
                "" if settlement.delay_s is None else settlement.delay_s,
                keys.FAILED_KEPT_S,
                counts.field(counts.WEBHOOK_ATTEMPTS, settlement.state),
            ],
        )
        return bool(answer)

    def heartbeat(self, sender: str) -> None:
        """Say that a sender lives, and forget those that have not for an hour."""
        now = now_s(self.redis)
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.senders(), {sender: now + SENDER_TTL_S})
            pipe.zremrangebyscore(keys.senders(), 0, now - 3600)
            pipe.execute()

    def leave(self, sender: str) -> None:
        """A sender that ends properly takes its name away at once."""
        self.redis.zrem(keys.senders(), sender)

    def live_senders(self) -> list[str]:
        """Senders heard of lately."""
        names = self.redis.zrangebyscore(keys.senders(), now_s(self.redis), "+inf")
        return [name.decode() for name in cast(list[bytes], names)]

    def open(self) -> int:
        """How many deliveries are not over."""
        return self.redis.zcard(keys.deliveries_due())


def of_job(job_id: str) -> str:
    """The delivery of a job's end: there is one at most."""
    return f"msg_{job_id.removeprefix('job_')}"


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _delivery(delivery_id: str, raw: dict[bytes, bytes], *, host: str = "") -> Delivery:
    text = {name.decode(): value.decode() for name, value in raw.items()}
    return Delivery(
        id=delivery_id,
        tenant=text["tenant"],
        type=text["type"],
        url=text["url"],
        occurred_at=float(text["occurred_at"]),
        state=DeliveryState(text["state"]),
        tries=int(text["tries"]),
        attempts=_ATTEMPTS.validate_json(text["attempts"]),
        next_at=float(text["next_at"]) if text["next_at"] else None,
        lease=text.get("lease", ""),
        job_id=text.get("job"),
        about=JobAbout.model_validate_json(text["about"]) if text.get("about") else None,
        images_done=int(text.get("images_done", 0)),
        n=int(text.get("n", 0)),
        error=JobError.model_validate_json(text["error"]) if text.get("error") else None,
        host=host,
    )
