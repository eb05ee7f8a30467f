"""`python -m worker`: load the model, listen on its queues until SIGTERM.

`rq worker -w worker.batch_worker.BatchWorker MODEL.high MODEL.normal MODEL.low` does the same.
"""

import logging
import os
import socket
import sys
import uuid

from pydantic import ValidationError
from redis import Redis

from models.diffusers_config import CheckpointError
from protocol import logs
from protocol.registry import Registry
from protocol.shard_queue import queue_names
from worker.batch_worker import BatchWorker
from worker.resident import model_name
from worker.settings import WorkerSettings

log = logging.getLogger("worker")
EXIT_BAD_SETTINGS, EXIT_FAULT = 2, 70


def main() -> int:
    """Exit status: 0 after a drain, 2 for settings or a checkpoint, 70 after an engine fault."""
    logs.configure(None)
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        log.error("cannot start: %s", error)
        return EXIT_BAD_SETTINGS
    logs.configure(settings.log)
    with Redis.from_url(settings.redis_url) as redis:
        return _work(settings, redis)


def _work(settings: WorkerSettings, redis: Redis) -> int:
    # Never used twice: a fixed name cannot come back after a kill until RQ has forgotten it.
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        worker = BatchWorker(queue_names(model_name(settings.model)), name=name, connection=redis)
        worker.work(logging_level="WARNING")
    except (CheckpointError, ValueError) as error:
        log.error("cannot start: %s", error)
        Registry(redis).cannot_start(f"{settings.model}: {error}")
        return EXIT_BAD_SETTINGS
    return EXIT_FAULT if worker.service.faulted else 0


if __name__ == "__main__":
    sys.exit(main())
