"""`python -m worker`: load the model, listen on its queues until SIGTERM.

`rq worker -w worker.batch_worker.BatchWorker MODEL.high MODEL.normal MODEL.low` does the same.
"""

import logging
import os
import socket
import uuid
from typing import NoReturn

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from models.diffusers_config import CheckpointError
from protocol import logs
from protocol.registry import Registry
from protocol.shard_queue import queue_names
from protocol.trouble import passes
from worker.batch_worker import BatchWorker
from worker.resident import model_name
from worker.service import CannotStart, DeviceFault
from worker.settings import WorkerSettings

log = logging.getLogger("worker")
EXIT_BAD_SETTINGS, EXIT_FAULT, EXIT_REDIS = 2, 70, 75


def main() -> int:
    """Exit status: 0 after a drain, 2 for settings or a checkpoint, 70 after a fault, 75 where
    Redis is away or full at the start.

    The client is never closed: threads that outlive the drain are cut off with the process, where
    a closed connection would look like a bug of theirs, and fail the job.
    """
    logs.configure(None)
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        log.error("cannot start: %s", error)
        return EXIT_BAD_SETTINGS
    logs.configure(settings.log)
    return _work(settings, Redis.from_url(settings.redis_url))


def _work(settings: WorkerSettings, redis: Redis) -> int:
    # Never used twice: a fixed name cannot come back after a kill until RQ has forgotten it.
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        worker = BatchWorker(queue_names(model_name(settings.model)), name=name, connection=redis)
        worker.work(logging_level="WARNING")
    except (CannotStart, CheckpointError) as error:
        log.error("cannot start: %s", error)
        _tell(redis, f"{settings.model}: {error}")
        return EXIT_BAD_SETTINGS
    except DeviceFault as error:
        log.exception("cannot start yet")
        _tell(redis, f"{settings.model}: {error}")
        return EXIT_FAULT
    except RedisError as error:
        if not passes(error):
            raise
        log.error("cannot start while Redis is in trouble: %s", error)
        return EXIT_REDIS
    return EXIT_FAULT if worker.service.faulted else 0


def _tell(redis: Redis, why: str) -> None:
    """To the API, where there is a Redis: a name is refused before one is asked for anything."""
    try:
        Registry(redis).cannot_start(why)
    except RedisError as error:
        if not passes(error):
            raise
        log.warning("Redis is in trouble and keeps no reason: %s", error)


def _leave(status: int) -> NoReturn:
    """At once: Python would wait for the encoders until each image that is still to be stored had
    been refused by a Redis that is away, in minutes where there are many."""
    logging.shutdown()  # what it has not written by now is lost
    os._exit(status)


if __name__ == "__main__":
    _leave(main())
