"""What unfinished images look like, for those who watch. One that is lost is no harm."""

import logging
from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError

from redis.exceptions import RedisError

from protocol.preview_store import PreviewStore
from protocol.trouble import passes
from worker.engine import Engine
from worker.png import sheet
from worker.row import Ticket

log = logging.getLogger(__name__)
PREVIEWED = 16  # images of a job at most
LOOK_S = 5.0

Shown = tuple[str, int, Ticket]  # job, shard, its rows


class Previews:
    """A sheet of each watched job's first shard under way."""

    def __init__(self, store: PreviewStore, engine: Engine) -> None:
        self._store, self._engine = store, engine

    def to_show(self, shards: Iterable[Shown]) -> list[Shown]:
        """The first shard of each job that somebody watches."""
        firsts: dict[str, Shown] = {}
        for shown in sorted(shards, key=lambda shown: shown[:2]):
            firsts.setdefault(shown[0], shown)
        watched = self._store.watched(firsts.keys())
        return [shown for job_id, shown in firsts.items() if job_id in watched]

    def show(self, job_id: str, shard: int, ticket: Ticket) -> None:
        """Draw and store the sheet of a shard's first images."""
        try:
            images = self._engine.look(ticket, most=PREVIEWED).result(timeout=LOOK_S)
            if images:
                self._store.put(job_id, shard, sheet(images))
        except FutureTimeoutError:
            log.info("no preview of %s in time", job_id)
        except RedisError as error:
            if not passes(error):
                raise
            log.info("no preview of %s: %r", job_id, error)
