"""`python -m webhooks.healthy`: does a sender of this host still speak?

For a container's health check: there the host is the container, with one sender in it.
"""

import socket
import sys

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from protocol.webhook_store import WebhookStore
from webhooks.settings import SenderSettings

TIMEOUT_S = 3.0


def main() -> int:
    """Exit status: 0 if it does, 1 if not, or if Redis cannot be asked."""
    host = socket.gethostname()
    redis = Redis.from_url(
        SenderSettings().redis_url,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
    )
    try:
        live = WebhookStore(redis).live_senders()
    except (ConnectionError, TimeoutError) as error:
        sys.stderr.write(f"Redis does not answer: {error}\n")
        return 1
    if any(name.rsplit("-", 2)[0] == host for name in live):
        return 0
    sys.stderr.write(f"no heartbeat from a sender on {host}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
