"""The scripts in `lua`: the only writers of a job's progress and of its end."""

from pathlib import Path
from typing import Any

from redis import Redis

from protocol import keys, webhook_store
from protocol.scripts import scripts_in

LUA = Path(__file__).parent / "lua"


class JobScripts:
    """Each with the keys and words that prelude.lua names."""

    def __init__(self, redis: Redis) -> None:
        self._scripts = scripts_in(LUA, redis)

    def run(self, script: str, job_id: str, *args: Any) -> Any:
        """What the script answers; `args` come behind those of all."""
        return self._scripts[script](
            keys=[
                keys.job(job_id),
                keys.images(job_id),
                keys.epochs(job_id),
                keys.leases(job_id),
                keys.in_flight(job_id),
                keys.events(),
                keys.tombstone(job_id),
                keys.sources(job_id),
                keys.expiring(),
                keys.delivery(webhook_store.of_job(job_id)),
                keys.deliveries_due(),
                keys.queued(),
            ],
            args=[
                job_id,
                keys.RECORD_KEPT_S,
                keys.TOMBSTONE_KEPT_S,
                keys.png_prefix(job_id),
                keys.IMAGES_PER_BUCKET,
                keys.waiting(""),
                keys.jobs(""),
                keys.unended(""),
                *args,
            ],
        )
