"""`python -m worker.healthy`: does the worker of this host still speak?

For a container's health check: there the host is the container, with one worker in it.
"""

import socket
import sys

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from protocol.registry import Registry
from worker.settings import WorkerSettings

TIMEOUT_S = 3.0


def is_healthy(redis: Redis) -> bool:
    """Whether a worker with this host in its name has been heard of lately."""
    host = socket.gethostname()
    return any(info.name.rsplit("-", 2)[0] == host for info in Registry(redis).live_workers())


def main() -> int:
    """Exit status: 0 if it does, 1 if not, or if Redis cannot be asked."""
    redis = Redis.from_url(
        WorkerSettings().redis_url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
    )
    try:
        healthy = is_healthy(redis)
    except (ConnectionError, TimeoutError) as error:
        sys.stderr.write(f"Redis does not answer: {error}\n")
        return 1
    if not healthy:
        sys.stderr.write(f"no heartbeat from a worker on {socket.gethostname()}\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
