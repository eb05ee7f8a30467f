"""A run: ask, break, wait until all is calm, look."""

import logging
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from chaos import blows
from chaos.client import Client, Entry
from chaos.oracle import Alone, findings, job_ids
from chaos.plan import LARGE, LONG, Blow, Plan, Strike, Wanted
from chaos.processes import Kept
from chaos.recovery import Recoveries, held_by
from chaos.stack import Stack, running, wait_until
from protocol.job_store import JobStore
from worker.resident import load_resident
from worker.settings import WorkerSettings

log = logging.getLogger("chaos")
ASKING = 4  # clients at once
PATIENCE_S, CALM_S, DRAIN_S = 60.0, 60.0, 300.0
QUIET_JOBS = 6
FEW = 3  # descriptors or threads more after a quiet batch: somebody was just being served


@dataclass(frozen=True)
class Outcome:
    """What a run found, and what it saw on the way."""

    findings: list[str]
    report: dict[str, Any]


def run(plan: Plan, *, folder: Path, model: Path) -> Outcome:
    """The whole of it. `folder` keeps the logs."""
    started = time.monotonic()
    with running(folder, model, workers=plan.workers) as stack:
        client = Client(stack.api_url, patience_s=PATIENCE_S)
        recoveries = Recoveries(stack)
        ledger = _storm(plan, stack, client, recoveries)
        _calm(stack, ledger)
        in_storm = list(recoveries.took_s)
        _kill_in_peace(plan, stack, client, ledger, recoveries)
        recoveries.stop()
        in_peace = recoveries.took_s[len(in_storm) :]
        grown = _quiet_batch(plan, stack, client, ledger)
        client.close()
        with stack.look() as redis:
            found = [*grown, *findings(redis, ledger, _alone(folder, model), model.name)]
            states = Counter(
                str(job.status) for job_id in job_ids(redis) if (job := JobStore(redis).get(job_id))
            )
        report = {
            "seed": plan.seed,
            "jobs": len(ledger),
            "states": dict(states),
            "answers": dict(client.answers),
            "blows": dict(Counter(str(strike.blow) for strike in plan.strikes)),
            "starts": {kept.name: kept.starts for kept in (stack.redis, stack.api, *stack.workers)},
            "worker_statuses": dict(Counter(s for w in stack.workers for s in w.statuses)),
            "recoveries": len(in_storm),
            "slowest_recovery_s": round(max(in_storm, default=0.0), 1),
            "recoveries_in_peace_s": [round(took, 1) for took in in_peace],
            "findings": found,
            "took_s": round(time.monotonic() - started, 1),
        }
    return Outcome(found, report)


def _storm(plan: Plan, stack: Stack, client: Client, recoveries: Recoveries) -> list[Entry]:
    """Ask for the jobs that follow a blow while it lasts; the next falls once that is over."""
    due = {strike.after_job: strike for strike in plan.strikes}
    with ThreadPoolExecutor(ASKING) as asking, ThreadPoolExecutor(1) as striking:
        entries: list[Future[Entry]] = []
        struck: list[Future[None]] = []
        for wanted in plan.jobs:
            entries.append(asking.submit(_ask, client, wanted))
            if wanted.number in due:
                wait(struck)
                wait(entries[:-ASKING])
                struck.append(striking.submit(_strike, stack, due[wanted.number], recoveries))
        for future in struck:
            future.result()
        return [future.result() for future in entries]


def _ask(client: Client, wanted: Wanted) -> Entry:
    entry = client.submit(wanted)
    if wanted.cancel_after_s is not None:
        time.sleep(wanted.cancel_after_s)
        client.cancel(entry)
    return entry


def _strike(stack: Stack, strike: Strike, recoveries: Recoveries) -> None:
    log.info("after job %d: %s, %.1f s", strike.after_job, strike.blow, strike.lasts_s)
    if strike.blow is Blow.KILL_WORKER:
        recoveries.killed(stack.workers[strike.worker].pid)
    blows.deal(stack, strike)


def _calm(stack: Stack, ledger: Sequence[Entry]) -> None:
    """Nothing breaks any more: everybody is back, and every job gets its time to end.

    Those that are not over when it is up are for the oracle to name.
    """
    wait_until(lambda: stack.serves(len(stack.workers)), within_s=CALM_S, what="all are back")
    log.info("calm: waiting for %d jobs", sum(bool(entry.accepted) for entry in ledger))
    deadline = time.monotonic() + DRAIN_S
    while _open_jobs(stack) and time.monotonic() < deadline:
        time.sleep(0.3)


def _open_jobs(stack: Stack) -> int:
    """Or what a shard's last words to RQ have yet to tidy up."""
    try:
        with stack.look() as redis:
            store = JobStore(redis)
            jobs = [store.get(job_id) for job_id in job_ids(redis)]
            waiting = [key for key in redis.scan_iter("rq:*:intermediate") if redis.llen(key)]
            started = sum(int(redis.zcard(key)) for key in redis.scan_iter("rq:wip:*"))
            queued = sum(int(redis.llen(key)) for key in redis.scan_iter("rq:queue:*.*"))
    except RedisError:
        return 1
    still_open = sum(1 for job in jobs if job is not None and not job.status.done)
    return still_open + len(waiting) + started + queued


def _kill_in_peace(
    plan: Plan, stack: Stack, client: Client, ledger: list[Entry], recoveries: Recoveries
) -> None:
    """Whatever a worker had, and then all of them had, is begun again while nothing else breaks."""
    first = 1 + max(wanted.number for wanted in plan.jobs)
    for k in range(plan.quiet_kills):
        body = plan.jobs[k].body | {"n": LARGE, "sampler": LONG, "metadata": {"chaos": first + k}}
        ledger.append(client.submit(Wanted(first + k, body)))
        busy = wait_until(lambda: _at_work(stack), within_s=CALM_S, what="a worker at work")
        victims = stack.workers if k % 2 else busy[:1]
        for victim in victims:
            recoveries.killed(victim.pid)
            victim.send(signal.SIGKILL)
        wait_until(lambda: not recoveries.waiting, within_s=CALM_S, what="a recovery in peace")
        _calm(stack, ledger)


def _at_work(stack: Stack) -> list[Kept]:
    """Workers that have shards."""
    return [worker for worker in stack.workers if held_by(stack, worker.pid)]


def _quiet_batch(plan: Plan, stack: Stack, client: Client, ledger: list[Entry]) -> list[str]:
    """A few jobs more in peace: descriptors and threads stay what they are."""
    first = 1 + max(entry.wanted.number for entry in ledger)
    counts: list[dict[str, tuple[int, int]]] = []
    for batch in range(2):
        for k in range(QUIET_JOBS):
            body = plan.jobs[k % len(plan.jobs)].body
            number = first + batch * QUIET_JOBS + k
            ledger.append(
                client.submit(Wanted(number, body | {"n": 2, "metadata": {"chaos": number}}))
            )
        wait_until(lambda: _open_jobs(stack) == 0, within_s=DRAIN_S, what="a quiet batch")
        watched = (stack.api, *stack.workers)
        counts.append({kept.name: (kept.files(), kept.threads()) for kept in watched})
    before, after = counts
    return [
        f"{name}: {what} grew from {was} to {now}"
        for name in before
        for what, was, now in zip(
            ("descriptors", "threads"), before[name], after[name], strict=True
        )
        if now > was + FEW
    ]


def _alone(folder: Path, model: Path) -> Alone:
    """An engine of the workers' fingerprint, in this process."""
    settings = WorkerSettings.model_validate(
        {"REDIS_URL": "redis://unused", "DATA_DIR": folder / "data", "model": model, "threads": 1}
    )
    return Alone(load_resident(settings))
