"""A tenant's jobs, newest first, a page at a time."""

import re
import time

from redis import Redis

from app import page_tokens
from app.job_filters import JobFilters
from app.resources.jobs import JobItem, JobPage
from app.views import Findings, item_view, status_of
from protocol.job_list import JobList
from protocol.job_record import JobRecord
from protocol.messages import JOB_ID_PATTERN

BATCH, BATCHES = 100, 10  # of jobs that a page with filters looks at
POSITION = re.compile(JOB_ID_PATTERN.strip("^$"))


class JobPages:
    """Reads lists. A page without filters costs what it holds; one with filters looks at
    BATCH * BATCHES jobs at most, so it may be short, or empty, and still have a successor."""

    def __init__(self, redis: Redis) -> None:
        self._jobs = JobList(redis)

    def page(self, tenant: str, wanted: JobFilters, *, size: int, token: str | None) -> JobPage:
        """The next `size` jobs. Raises InvalidRequest for a token of another list."""
        of = f"jobs {tenant} {wanted.described()}"
        after = None if token is None else page_tokens.unseal(token, of=of, shape=POSITION)[0]
        records, last = self._find(tenant, wanted, after=after, size=size)
        return JobPage(
            data=self._items(records),
            next_page_token=None if last is None else page_tokens.seal(last, of=of),
        )

    def _find(
        self, tenant: str, wanted: JobFilters, *, after: str | None, size: int
    ) -> tuple[list[JobRecord], str | None]:
        """Jobs that are wanted, and the one behind which the next page begins."""
        found: list[JobRecord] = []
        now = time.time()
        for _ in range(BATCHES):
            batch = BATCH if wanted else size - len(found)
            ids = self._jobs.ids(tenant, after=after, count=batch + 1)
            for job_id, record in zip(ids[:batch], self._jobs.read(ids[:batch]), strict=True):
                if record is not None and wanted.admit(record, status_of(record, now=now)):
                    if len(found) == size:
                        return found, after
                    found.append(record)
                after = job_id
            if len(ids) <= batch:
                return found, None
            if len(found) == size:
                break
        return found, after

    def _items(self, records: list[JobRecord]) -> list[JobItem]:
        now = time.time()
        return [
            item_view(
                record, Findings({}, standing.steps_in_flight, standing.queue_position), now=now
            )
            for record, standing in zip(records, self._jobs.standings(records), strict=True)
        ]
