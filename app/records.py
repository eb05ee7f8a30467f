"""A job's record, or the error that says why there is none."""

import time

from app.errors import Expired, JobNotFound
from app.views import status_of
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.states import JobState


def find(store: JobStore, job_id: str, *, tenant: str) -> JobRecord:
    """The record. Raises Expired where it was once here, JobNotFound where it was not, or is
    another tenant's: who may not see a job cannot tell whether there is one."""
    record = store.get(job_id)
    if record is not None and record.tenant == tenant:
        return record
    if record is None and store.is_gone(job_id, tenant=tenant):
        raise Expired("The job's results and its record are gone.")
    raise JobNotFound(f"There is no job {job_id}.")


def find_unexpired(store: JobStore, job_id: str, *, tenant: str) -> JobRecord:
    """The record of a job whose images, if any, are kept. Raises like `find`."""
    record = find(store, job_id, tenant=tenant)
    if status_of(record, now=time.time()) is JobState.EXPIRED:
        raise Expired("The job's images were kept for its ttl_s and are gone.")
    return record
