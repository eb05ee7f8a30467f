"""`python -m worker.healthy`: do the workers of this host still speak?

For a container's health check: there the host is the container, with a worker in it for each of
MODELS. It asks Redis alone and loads no torch: it runs every few seconds.
"""

import socket
import sys

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from protocol.redis_settings import RedisSettings
from protocol.registry import Registry

TIMEOUT_S = 3.0


class HealthSettings(RedisSettings):
    """MODELS, as `launch.workers` reads it, says how many workers there should be."""

    models: str = ""

    @property
    def workers(self) -> int:
        """At least one."""
        return len(self.models.split()) or 1


def heard_of(redis: Redis) -> int:
    """How many workers with this host in their names have spoken lately."""
    host = socket.gethostname()
    return sum(info.name.rsplit("-", 2)[0] == host for info in Registry(redis).live_workers())


def main() -> int:
    """Exit status: 0 if all do, 1 if not, or if Redis cannot be asked."""
    settings = HealthSettings()
    redis = Redis.from_url(
        settings.redis_url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
    )
    try:
        found = heard_of(redis)
    except (ConnectionError, TimeoutError) as error:
        sys.stderr.write(f"Redis does not answer: {error}\n")
        return 1
    if found < settings.workers:
        host = socket.gethostname()
        sys.stderr.write(f"heartbeats of {found} workers on {host}, not {settings.workers}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
