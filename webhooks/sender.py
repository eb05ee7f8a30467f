"""The loop: claim what is due, send it, say what became of it."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from protocol.messages import DeliveryAttempt
from protocol.webhook_store import Delivery, Settlement, WebhookStore
from webhooks.schedule import Answer, settlement

log = logging.getLogger(__name__)
POLL_S = 0.25
LEASE_MARGIN_S = 15.0  # beyond the longest attempt
HEARTBEAT_S = 2.5
LONGEST_PAUSE_S = 5.0
AT_ONE_HOST = 8  # a host that does not answer must not hold up the others
CROWDED_S = 2.0

Post = Callable[[Delivery], Awaitable[Answer]]


class Sender:
    """Many attempts at once on one event loop; Redis is asked from threads."""

    def __init__(
        self,
        name: str,
        store: WebhookStore,
        post: Post,
        *,
        timeout_s: float,
        at_once: int,
        scale: float,
    ) -> None:
        self.name, self._store, self._post = name, store, post
        self._lease_s = timeout_s + LEASE_MARGIN_S
        self._at_once, self._scale = at_once, scale
        self._at_host: Counter[str] = Counter()
        self._leaving = asyncio.Event()
        self._failures = 0
        self._heard_at = float("-inf")

    def leave(self) -> None:
        """Claim nothing more; `run` ends when the attempts under way have."""
        self._leaving.set()

    async def run(self) -> None:
        """Until asked to leave; then the attempts under way are finished."""
        async with asyncio.TaskGroup() as attempts:
            while not self._leaving.is_set():
                pause_s = await self._round(attempts)
                await _pause(pause_s, unless=self._leaving)
        with suppress(RedisError, OSError):
            await asyncio.to_thread(self._store.leave, self.name)

    async def _round(self, attempts: asyncio.TaskGroup) -> float:
        """Begin what is due; seconds until it is worth while to look again."""
        try:
            await self._speak()
            claimed = await self._claim()
        except (RedisError, OSError) as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("Redis is away, coming back to it: %s", error)
            return pause_s(self._failures)
        self._failures = 0
        for delivery in claimed:
            attempts.create_task(self._begin(delivery))
        return 0.0 if claimed else POLL_S

    async def _speak(self) -> None:
        if time.monotonic() - self._heard_at > HEARTBEAT_S:
            await asyncio.to_thread(self._store.heartbeat, self.name)
            self._heard_at = time.monotonic()

    async def _claim(self) -> list[Delivery]:
        free = self._at_once - self._at_host.total()
        if free <= 0:
            return []
        return await asyncio.to_thread(self._store.claim, free, lease_s=self._lease_s)

    def _begin(self, delivery: Delivery) -> Coroutine[Any, Any, None]:
        """Counted now, one after the other: of a crowd that comes at once, some are sent."""
        host = _host(delivery)
        self._at_host[host] += 1
        return self._deliver(delivery, host, is_crowded=self._at_host[host] > AT_ONE_HOST)

    async def _deliver(self, delivery: Delivery, host: str, *, is_crowded: bool) -> None:
        try:
            if is_crowded:
                await self._settle(delivery, _put_off(delivery), None)
            else:
                await self._attempt(delivery)
        finally:
            self._at_host[host] -= 1

    async def _attempt(self, delivery: Delivery) -> None:
        at = time.time()
        try:
            answer = await self._post(delivery)
        except Exception:
            # A delivery that crashes us has its tries counted, or it would do so for ever.
            await self._record(delivery, Answer(error="a fault of this service"), at)
            raise
        await self._record(delivery, answer, at)

    async def _record(self, delivery: Delivery, answer: Answer, at: float) -> None:
        settled = settlement(delivery.tries, answer, chance=random.random(), scale=self._scale)
        log.info("%s: %s, %s", delivery.id, answer.status or answer.error, settled.state)
        attempt = DeliveryAttempt(at=at, status=answer.status, error=answer.error)
        await self._settle(delivery, settled, attempt)

    async def _settle(
        self,
        delivery: Delivery,
        settled: Settlement,
        attempt: DeliveryAttempt | None,
    ) -> None:
        """Repeated while Redis is away: what is not recorded is sent again."""
        failures = 0
        while True:
            try:
                await asyncio.to_thread(self._store.settle, delivery, settled, attempt)
            except (RedisError, OSError) as error:
                failures += 1
                if self._leaving.is_set():
                    log.warning("%s: not recorded, will be sent again: %s", delivery.id, error)
                    return
                await _pause(pause_s(failures), unless=self._leaving)
            else:
                return


def pause_s(failures: int) -> float:
    """Doubling, bounded, and different in every sender, so that they do not come back at once."""
    return random.uniform(0.5, 1.0) * min(0.1 * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)


async def _pause(seconds: float, *, unless: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(unless.wait(), seconds)


def _put_off(delivery: Delivery) -> Settlement:
    """As it was, in a moment: its host has enough for now."""
    return Settlement(delivery.state, delivery.tries, random.uniform(0.5, 1.0) * CROWDED_S)


def _host(delivery: Delivery) -> str:
    return delivery.url.partition("://")[2].partition("/")[0].lower()
