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
from protocol.event_log import BEGINNING, Entry, JobEvent

log = logging.getLogger(__name__)
BLOCK_MS = 2000  # well under the socket's timeout
BATCH = 1000
RECHECK_S = 2.0
LONGEST_PAUSE_S = 5.0

Hear = Callable[[JobEvent | None], None]  # None: the process is about to leave


class JobEvents:
    """One reader of the event stream, many who hear of a job. All on one event loop."""

    def __init__(self, redis: Redis) -> None:
        self.position = BEGINNING  # everything up to here has been told
        self.connected = asyncio.Event()  # until then nothing is known of the position
        self.released = False
        self._redis = redis
        self._hearing: dict[str, set[Hear]] = {}

    async def until_done(
        self, job_id: str, is_done: Callable[[], Awaitable[bool]], *, within_s: float
    ) -> None:
        """Return when the job is done, or the time is up, or the process is about to leave.

        The record decides; the stream only says when to look. So a reader that has lost its
        connection makes this slower by RECHECK_S, never wrong.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + within_s
        news = asyncio.Event()

        def hear(event: JobEvent | None) -> None:
            if event is None or event.kind == "done":
                news.set()

        with self.hearing(job_id, hear):
            while not await is_done():
                left_s = deadline - clock()
                if left_s <= 0 or self.released:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(left_s, RECHECK_S))
                news.clear()

    @contextmanager
    def hearing(self, job_id: str, hear: Hear) -> Iterator[None]:
        """Have `hear` called with every event of a job, in order, as soon as it is read."""
        self._hearing.setdefault(job_id, set()).add(hear)
        try:
            yield
        finally:
            self._hearing[job_id].discard(hear)
            if not self._hearing[job_id]:
                del self._hearing[job_id]

    def release(self) -> None:
        """Let everybody go with what there is: the process is asked to leave."""
        self.released = True
        for hear in [hear for all_of_job in self._hearing.values() for hear in all_of_job]:
            hear(None)

    @property
    def waiters(self) -> int:
        """How many hear of jobs at the moment: waits, and streams by job."""
        return sum(len(hearing) for hearing in list(self._hearing.values()))

    async def listen(self) -> NoReturn:
        """Read the stream for ever; where Redis is away, come back after growing pauses."""
        failures = 0
        while True:
            try:
                await (self._read() if self.connected.is_set() else self._connect())
                failures = 0
            except (RedisError, OSError) as error:
                failures += 1
                if failures == 1:
                    log.warning("event stream lost, reconnecting: %s", error)
                await asyncio.sleep(_pause_s(failures))

    async def _connect(self) -> None:
        """Begin where the stream ends now."""
        found = cast(list[Entry], await self._redis.xrevrange(keys.events(), count=1))
        if found:
            self.position = JobEvent.of(found[0]).id
        self.connected.set()

    async def _read(self) -> None:
        """Tell what has come since."""
        found = await self._redis.xread(
            {keys.events(): str(self.position)}, count=BATCH, block=BLOCK_MS
        )
        streams = cast(list[tuple[bytes, list[Entry]]], found)
        for event in map(JobEvent.of, streams[0][1] if streams else []):
            self.position = event.id
            for hear in self._hearing.get(event.job_id, ()):
                hear(event)


def _pause_s(failures: int) -> float:
    """Doubling, bounded, and different in every process, so that they do not come back at once."""
    return random.uniform(0.5, 1.0) * min(0.1 * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)
