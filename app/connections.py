"""The three ways this process talks to Redis, and what each does when a command fails.

redis-py repeats a failed command ten times by default. That would hold a client's request for
seconds while Redis is down, and could submit a job twice: an EXEC whose answer was lost may have
been carried out.
"""

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

HEALTH_CHECK_S = 15  # a connection idle for longer is tried with a PING before it is trusted
SOCKET_TIMEOUT_S = 5.0


def for_reading(url: str) -> Redis:
    """Repeats a command once, at once, on a new connection: for what may safely happen twice."""
    return Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        health_check_interval=HEALTH_CHECK_S,
        socket_timeout=SOCKET_TIMEOUT_S,
    )


def for_submitting(url: str) -> Redis:
    """Never repeats. A connection the server has closed is seen, and replaced, before it is used;
    one that died silently fails its PING, which costs a 503 and no job."""
    return Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=HEALTH_CHECK_S,
        socket_timeout=SOCKET_TIMEOUT_S,
    )


def for_listening(url: str) -> AsyncRedis:
    """For the one task that blocks on the event stream and reconnects by itself."""
    return AsyncRedis.from_url(
        url, retry=AsyncRetry(NoBackoff(), 0), socket_timeout=SOCKET_TIMEOUT_S
    )
