"""Waiting for jobs without a thread for each who waits."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from protocol import keys

log = logging.getLogger(__name__)
BLOCK_MS = 2000  # well under the socket's timeout
BATCH = 1000
RECHECK_S = 2.0
LONGEST_PAUSE_S = 5.0

Entry = tuple[bytes, dict[bytes, bytes]]  # id, fields


class JobEvents:
    """One reader of the event stream, many waiters by job id. All on one event loop."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._released = False

    async def until_done(
        self, job_id: str, is_done: Callable[[], Awaitable[bool]], *, within_s: float
    ) -> None:
        """Return when the job is done, or the time is up, or the process is about to leave.

        The record decides; the stream only says when to look. So a reader that has lost its
        connection makes this slower by RECHECK_S, never wrong.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + within_s
        with self._listening(job_id) as news:
            while not await is_done():
                left_s = deadline - clock()
                if left_s <= 0 or self._released:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left_s, RECHECK_S))
                news.clear()

    def release(self) -> None:
        """Let everybody go with what there is: the process is asked to leave."""
        self._released = True
        for job_id in self._waiting:
            self._announce(job_id)

    @property
    def waiters(self) -> int:
        """How many requests are held at the moment."""
        return sum(map(len, list(self._waiting.values())))

    async def listen(self) -> NoReturn:
        """Read the stream for ever; where Redis is away, come back after growing pauses."""
        last_id: bytes | None = None
        failures = 0
        while True:
            try:
                last_id = await self._newest() if last_id is None else await self._read(last_id)
                failures = 0
            except (RedisError, OSError) as error:
                failures += 1
                if failures == 1:
                    log.warning("event stream lost, reconnecting: %s", error)
                await asyncio.sleep(_pause_s(failures))

    async def _newest(self) -> bytes:
        """Where the stream ends now."""
        found = await self._redis.xrevrange(keys.events(), count=1)
        newest = cast(list[Entry], found)
        return newest[0][0] if newest else b"0-0"

    async def _read(self, last_id: bytes) -> bytes:
        """Announce what has come since `last_id`; return the last id seen."""
        found = await self._redis.xread({keys.events(): last_id}, count=BATCH, block=BLOCK_MS)
        streams = cast(list[tuple[bytes, list[Entry]]], found)
        entries = streams[0][1] if streams else []
        for _, event in entries:
            if event.get(b"event") == b"done":
                self._announce(event[b"job"].decode())
        return entries[-1][0] if entries else last_id

    def _announce(self, job_id: str) -> None:
        for news in self._waiting.get(job_id, ()):
            news.set()

    @contextmanager
    def _listening(self, job_id: str) -> Iterator[asyncio.Event]:
        news = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(news)
        try:
            yield news
        finally:
            self._waiting[job_id].discard(news)
            if not self._waiting[job_id]:
                del self._waiting[job_id]


def _pause_s(failures: int) -> float:
    """Doubling, bounded, and different in every process, so that they do not come back at once."""
    return random.uniform(0.5, 1.0) * min(0.1 * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)
