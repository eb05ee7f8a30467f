"""The loop: claim what is due, send it, say what became of it."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from protocol.messages import DeliveryAttempt
from protocol.webhook_store import Delivery, Settlement, WebhookStore
from webhooks.crowds import Crowds
from webhooks.schedule import Answer, settlement

log = logging.getLogger(__name__)
POLL_S = 0.25
LEASE_MARGIN_S = 15.0  # beyond the longest attempt
HEARTBEAT_S = 2.5
LONGEST_PAUSE_S = 5.0

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
        self._scale = scale
        self._crowds = Crowds(at_once)
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
        if self._crowds.free <= 0:
            return []
        under_way = self._crowds.under_way
        return await asyncio.to_thread(
            self._store.claim, self._crowds.free, lease_s=self._lease_s, under_way=under_way
        )

    def _begin(self, delivery: Delivery) -> Coroutine[Any, Any, None]:
        """Counted now, before the next claim."""
        return self._deliver(delivery, since=self._crowds.enter(delivery))

    async def _deliver(self, delivery: Delivery, *, since: float) -> None:
        try:
            at = time.time()
            await self._record(delivery, await self._answer(delivery), at)
        finally:
            self._crowds.leave(delivery, since)

    async def _answer(self, delivery: Delivery) -> Answer:
        """A fault of ours is one of this delivery alone: its try counts, the others go on."""
        try:
            return await self._post(delivery)
        except Exception:
            log.exception("%s: a fault of this service", delivery.id)
            return Answer(error="a fault of this service")

    async def _record(self, delivery: Delivery, answer: Answer, at: float) -> None:
        settled = settlement(delivery.tries, answer, chance=random.random(), scale=self._scale)
        said, where = answer.status or answer.error, f"to {delivery.host} of {delivery.tenant}"
        log.info("%s %s: %s, %s", delivery.id, where, said, settled.state)
        attempt = DeliveryAttempt(at=at, status=answer.status, error=answer.error)
        await self._settle(delivery, settled, attempt)

    async def _settle(
        self,
        delivery: Delivery,
        settled: Settlement,
        attempt: DeliveryAttempt,
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
