"""What must be true at the end, whatever happened: each finding is a broken promise, in words."""

import fnmatch
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from PIL import Image
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from chaos.client import Entry
from protocol import keys
from protocol.image_store import RedisImageStore
from protocol.job_record import JobRecord
from protocol.job_store import JobStore
from protocol.messages import SamplerSpec
from protocol.shard_queue import queue_names
from protocol.states import JobState
from worker.resident import ResidentModel
from worker.row import Ticket

# What may be there for ever: one of each, or one for each queue.
LASTING = (
    "denoised:counts",
    "denoised:events",
    "denoised:models",
    "denoised:jobs:*",
    "denoised:expiring",
    "denoised:senders",
    "denoised:workers",
    "denoised:worker-infos",
    "denoised:wake:*",
    "rq:queues",
    "rq:workers",
    "rq:workers:*",
    "rq:finished:*",
    "rq:failed:*",
    "rq:clean_registries:*",
)
BY_THEMSELVES = 2  # of each sampler
JOB_ID_LENGTH = len("job_") + 32


class Alone:
    """Pixels of images by an engine of the workers' fingerprint that does nothing else.

    Those of one sampler are drawn together, in the order of their numbers: in no batch of the
    service did they have these neighbours. Some are drawn once more, each by itself.
    """

    def __init__(self, model: ResidentModel) -> None:
        self.engine = model.engine
        self._model = model
        self._sha256: dict[tuple[SamplerSpec, int, int], str] = {}

    def draw(self, wanted: Iterable[tuple[SamplerSpec, int, int]]) -> Iterator[str]:
        """Images by (sampler, seed, index); a finding for one that depends on its company."""
        by_spec: dict[SamplerSpec, list[tuple[int, int]]] = {}
        for spec, seed, index in sorted(set(wanted), key=repr):
            by_spec.setdefault(spec, []).append((seed, index))
        for spec, images in by_spec.items():
            width = self._model.runner.width
            for start in range(0, len(images), width):
                chunk = images[start : start + width]
                for (seed, index), sha256 in zip(chunk, self._drawn(spec, chunk), strict=True):
                    self._sha256[spec, seed, index] = sha256
            for seed, index in images[:BY_THEMSELVES]:
                if self._drawn(spec, [(seed, index)]) != [self._sha256[spec, seed, index]]:
                    yield f"{spec}: image {index} of seed {seed} depends on its company"

    def sha256(self, spec: SamplerSpec, seed: int, index: int) -> str:
        """Of an image that was drawn."""
        return self._sha256[spec, seed, index]

    def _drawn(self, spec: SamplerSpec, images: Sequence[tuple[int, int]]) -> list[str]:
        runner, plan = self._model.runner, self._model.plan(spec)
        rows = [
            row
            for seed, index in images
            for row in Ticket.for_nobody(plan, seed=seed, indices=[index]).rows()
        ]
        for row in rows:
            runner.admit(row)
        for _ in range(plan.steps):
            runner.step(rows)
        drawn = runner.collect(rows)
        return [hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest() for x in drawn]


def findings(redis: Redis, ledger: Sequence[Entry], alone: Alone, model: str) -> list[str]:
    """Every broken promise; none if all is well."""
    return [
        *alone.draw(_listed(redis)),
        *_jobs(redis, ledger, alone),
        *_nobody_else(redis, ledger),
        *_registries(redis, model),
        *_keys(redis),
    ]


def _listed(redis: Redis) -> Iterator[tuple[SamplerSpec, int, int]]:
    """Every image of every job, by what makes it."""
    for job_id in job_ids(redis):
        job = JobStore(redis).get(job_id)
        for index in cast(list[bytes], redis.hkeys(keys.images(job_id))):
            if job is not None:
                yield job.request.sampler, job.request.seed, int(index)


def done_counts(redis: Redis) -> Counter[str]:
    """Terminal events by job."""
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.events()))
    return Counter(e[b"job"].decode() for _, e in entries if e[b"event"] == b"done")


def _jobs(redis: Redis, ledger: Sequence[Entry], alone: Alone) -> Iterator[str]:
    """Every accepted job ended once, as it should, with its own images."""
    store, ends = JobStore(redis), done_counts(redis)
    for entry in ledger:
        named = set(entry.accepted)
        if entry.wanted.keyed and len(named) > 1:
            yield f"job {entry.wanted.number}: one key, and jobs {', '.join(sorted(named))}"
        for job_id in named:
            job = store.get(job_id)
            if job is None:
                yield f"{job_id}: was accepted, and is not there"
                continue
            if ends[job_id] != 1 or not job.status.done:
                yield f"{job_id}: is {job.status} and ended {ends[job_id]} times"
            allowed = {JobState.SUCCEEDED} | ({JobState.CANCELED} if entry.cancel_sent else set())
            if job.status.done and job.status not in allowed:
                yield f"{job_id}: {job.status}, {job.error}"
            yield from _images(redis, job, alone)


def _images(redis: Redis, job: JobRecord, alone: Alone) -> Iterator[str]:
    """What is listed is there and is what it is alone; a job that succeeded has all."""
    request = job.request
    indices = range(request.first_index, request.first_index + request.n)
    manifests = JobStore(redis).manifests(job.id, indices)
    pngs = RedisImageStore(redis).get_many(job.id, [i - request.first_index for i in manifests])
    if job.status is JobState.SUCCEEDED and len(manifests) != request.n:
        yield f"{job.id}: succeeded with {len(manifests)} images of {request.n}"
    if job.images_done != len(manifests):
        yield f"{job.id}: counts {job.images_done} images and lists {len(manifests)}"
    if manifests and job.engine != alone.engine:
        yield f"{job.id}: was drawn by engine {job.engine}, not {alone.engine}"
        return
    for (index, manifest), png in zip(manifests.items(), pngs, strict=True):
        expected = alone.sha256(request.sampler, request.seed, index)
        if png is None:
            yield f"{job.id}: image {index} is listed and not there"
        elif not manifest.pixels_sha256 == _pixels_sha256(png) == expected:
            yield f"{job.id}: image {index} is not what it is alone"


def _pixels_sha256(png: bytes) -> str:
    return hashlib.sha256(Image.open(io.BytesIO(png)).tobytes()).hexdigest()


def _nobody_else(redis: Redis, ledger: Sequence[Entry]) -> Iterator[str]:
    """No job that nobody asked for; one whose answer was lost may be there."""
    found: Counter[int] = Counter()
    store = JobStore(redis)
    for job_id in job_ids(redis):
        job = store.get(job_id)
        if job is not None:
            found[job.request.metadata["chaos"]] += 1
            if not job.status.done:
                yield f"{job_id}: is still {job.status}"
    most = {entry.wanted.number: entry.most for entry in ledger}
    for number, count in found.items():
        asked = most.get(number, 0)
        if count > asked:
            yield f"job {number} was asked for {asked} times and is there {count} times"


def job_ids(redis: Redis) -> list[str]:
    """Of every record."""
    prefix = keys.job("")
    found = (key.decode() for key in redis.scan_iter(f"{prefix}job_*", count=1000))
    return [key.removeprefix(prefix) for key in found if len(key) == len(prefix) + JOB_ID_LENGTH]


def _registries(redis: Redis, model: str) -> Iterator[str]:
    """RQ has nothing left to do, and nothing left over."""
    for name in queue_names(model):
        queue = Queue(name, connection=redis, serializer=JSONSerializer)
        left: dict[str, Any] = {
            "queue": redis.llen(queue.key),
            "intermediate": redis.llen(queue.intermediate_queue_key),
            "started": queue.started_job_registry.get_job_count(cleanup=False),
            "failed": queue.failed_job_registry.get_job_count(cleanup=False),
            "canceled": queue.canceled_job_registry.get_job_count(cleanup=False),
            "scheduled": queue.scheduled_job_registry.get_job_count(cleanup=False),
            "deferred": queue.deferred_job_registry.get_job_count(cleanup=False),
        }
        yield from (f"{name}: {n} left in {where}" for where, n in left.items() if n)


def _keys(redis: Redis) -> Iterator[str]:
    """Nothing without a time to live but what has a name for it."""
    everything = [key.decode() for key in redis.scan_iter(count=1000)]
    with redis.pipeline(transaction=False) as pipe:
        for key in everything:
            pipe.ttl(key)
        ttls = pipe.execute()
    for key, ttl in zip(everything, ttls, strict=True):
        if ttl == -1 and not any(fnmatch.fnmatch(key, pattern) for pattern in LASTING):
            yield f"{key} would stay for ever"
