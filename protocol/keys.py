"""Every Redis key, one function each, and how long things are kept."""

PREFIX = "denoised"
IMAGES_PER_BUCKET = 100
RECORD_KEPT_S = 7 * 86_400  # after the images are gone: status `expired`
TOMBSTONE_KEPT_S = 30 * 86_400  # after the record is gone: 410
IDEMPOTENCY_KEPT_S = 86_400  # after the submission
WAKE_HINTS = 16
FAILED_KEPT_S = 37 * 86_400  # no delivery is older: 30 days of images and 7 of their record


def job(job_id: str) -> str:
    """Hash: the job's record."""
    return f"{PREFIX}:job:{job_id}"


def images(job_id: str) -> str:
    """Hash: image index -> manifest (JSON). A field here is what makes an image done."""
    return f"{PREFIX}:job:{job_id}:images"


def sources(job_id: str) -> str:
    """Hash: field of the request -> pixels (uint8, H W C) of an image its chains start from."""
    return f"{PREFIX}:job:{job_id}:sources"


def epochs(job_id: str) -> str:
    """Hash: shard -> how often it was begun, the fence against a worker thought dead.

    Beside it `given-back:{shard}` and `crashes:{shard}` count how some of those runs ended.
    """
    return f"{PREFIX}:job:{job_id}:epochs"


def leases(job_id: str) -> str:
    """Hash: shard -> the run that has it now."""
    return f"{PREFIX}:job:{job_id}:leases"


def in_flight(job_id: str) -> str:
    """Hash: shard -> steps done by its rows that are not yet images."""
    return f"{PREFIX}:job:{job_id}:in-flight"


def watched(job_id: str) -> str:
    """String that lives while somebody looks at the job's previews."""
    return f"{PREFIX}:job:{job_id}:watched"


def previews(job_id: str) -> str:
    """Hash: shard -> PNG sheet of what its rows look like by now."""
    return f"{PREFIX}:job:{job_id}:previews"


def png_prefix(job_id: str) -> str:
    """Hashes `{prefix}{bucket}`: image index -> PNG file, 100 to a bucket."""
    return f"{PREFIX}:job:{job_id}:png:"


def tombstone(job_id: str) -> str:
    """String: the tenant whose job was here once."""
    return f"{PREFIX}:gone:{job_id}"


def idempotency(tenant: str, key_sha256: str) -> str:
    """String: what was sent under a tenant's Idempotency-Key, as a sha256, and the job it made."""
    return f"{PREFIX}:idem:{tenant}:{key_sha256}"


def jobs(tenant: str) -> str:
    """Sorted set: a tenant's jobs, all of score 0: their ids are in order of submission."""
    return f"{PREFIX}:jobs:{tenant}"


def expiring() -> str:
    """Sorted set: `job:tenant`, scored with when the record goes, and its line in `jobs` is due."""
    return f"{PREFIX}:expiring"


def waiting(model: str) -> str:
    """Sorted set: jobs not begun, by time of submission."""
    return f"{PREFIX}:waiting:{model}"


def queued() -> str:
    """Hash: images accepted and not yet made, as `images`, `tenant:{name}` and
    `queue:{model}.{priority}`, and the `bytes` they will take."""
    return f"{PREFIX}:queued"


def day(tenant: str, number: str) -> str:
    """String: images accepted for a tenant on a day, numbered from 1970-01-01 UTC."""
    return f"{PREFIX}:day:{tenant}:{number}"


def bucket(name: str) -> str:
    """String: when a bucket of requests will be full again, in microseconds."""
    return f"{PREFIX}:bucket:{name}"


def unended(model: str) -> str:
    """Sorted set: jobs that have not ended, by time of submission; what the janitor looks after."""
    return f"{PREFIX}:unended:{model}"


def wake(model: str) -> str:
    """List: hints that make an idle worker look at its queues at once."""
    return f"{PREFIX}:wake:{model}"


def events() -> str:
    """Stream: what happened to jobs, for those who wait."""
    return f"{PREFIX}:events"


def models() -> str:
    """Hash: model name -> ModelInfo (JSON)."""
    return f"{PREFIX}:models"


def workers() -> str:
    """Sorted set: worker name, scored with the time its last word is good until."""
    return f"{PREFIX}:workers"


def worker_infos() -> str:
    """Hash: worker name -> WorkerInfo (JSON)."""
    return f"{PREFIX}:worker-infos"


def counts() -> str:
    """Hash: `name:label` -> what was counted, over all processes, alive or gone."""
    return f"{PREFIX}:counts"


def start_fault() -> str:
    """String: why a worker could not start, said lately."""
    return f"{PREFIX}:start-fault"


def engine(fingerprint: str) -> str:
    """String that lives while a worker of this fingerprint does."""
    return f"{PREFIX}:engine:{fingerprint}"


def janitor_lock(model: str) -> str:
    """String: one janitor at a time, and none for a while after it."""
    return f"{PREFIX}:janitor:{model}"


def reaper_lock(model: str) -> str:
    """String: one reaper at a time."""
    return f"{PREFIX}:reaper:{model}"


def lost(model: str) -> str:
    """Hash: job of which RQ knew nothing in the last round of a janitor -> since when."""
    return f"{PREFIX}:lost:{model}"


def unclaimed(model: str) -> str:
    """Hash: RQ job that was taken and not claimed in the last round of a reaper -> since when."""
    return f"{PREFIX}:unclaimed:{model}"


def delivery(delivery_id: str) -> str:
    """Hash: a webhook to send, or sent, and what became of each attempt."""
    return f"{PREFIX}:delivery:{delivery_id}"


def deliveries_due() -> str:
    """Sorted set: deliveries not over, by when a sender may take them."""
    return f"{PREFIX}:deliveries-due"


def deliveries_failed(tenant: str) -> str:
    """Sorted set: a tenant's deliveries that were given up, by when."""
    return f"{PREFIX}:deliveries-failed:{tenant}"


def senders() -> str:
    """Sorted set: sender of webhooks, scored with the time its last word is good until."""
    return f"{PREFIX}:senders"
