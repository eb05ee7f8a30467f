"""What unfinished images look like, for those who watch. One that is lost is no harm."""

from collections.abc import Iterable
from concurrent.futures import Executor, Future
from functools import partial

from protocol.preview_store import PreviewStore
from protocol.trouble import passing_trouble
from worker.engine import Engine
from worker.png import sheet
from worker.row import Pixels, Ticket

PREVIEWED = 16  # images of a job at most

Shown = tuple[str, int, Ticket]  # job, shard, its rows


class Previews:
    """A sheet of each watched job's first shard under way.

    One at a time for each job, and no thread waits for it: the engine shows its images after its
    next step, however long that takes, and only then is there something to do for the pool.
    """

    def __init__(self, store: PreviewStore, engine: Engine, pool: Executor) -> None:
        self._store, self._engine, self._pool = store, engine, pool
        self._pending: set[str] = set()  # jobs that were asked for and are not yet stored

    def renew(self, shards: Iterable[Shown]) -> None:
        """Ask for the sheet of each job that somebody watches, unless the last is on its way."""
        for job_id, shard, ticket in self._to_show(shards):
            if job_id not in self._pending:
                self._pending.add(job_id)
                seen = self._engine.look(ticket, most=PREVIEWED)
                seen.add_done_callback(partial(self._hand_over, job_id, shard))

    def _to_show(self, shards: Iterable[Shown]) -> list[Shown]:
        """The first shard of each job that somebody watches."""
        firsts: dict[str, Shown] = {}
        for shown in sorted(shards, key=lambda shown: shown[:2]):
            firsts.setdefault(shown[0], shown)
        watched = self._store.watched(firsts.keys())
        return [shown for job_id, shown in firsts.items() if job_id in watched]

    def _hand_over(self, job_id: str, shard: int, seen: "Future[list[Pixels]]") -> None:
        """Called by the engine's thread: never work there."""
        self._pool.submit(self._draw, job_id, shard, seen.result())

    def _draw(self, job_id: str, shard: int, images: list[Pixels]) -> None:
        try:
            if images:
                with passing_trouble(f"no preview of {job_id}"):
                    self._store.put(job_id, shard, sheet(images))
        finally:
            self._pending.discard(job_id)
