"""`python -m webhooks`: send webhooks until SIGTERM. Any number may run beside each other."""

import asyncio
import logging
import os
import signal
import socket
import sys
import uuid

from pydantic import ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from protocol.webhook_store import WebhookStore
from webhooks.poster import Poster
from webhooks.sender import Sender
from webhooks.settings import SenderSettings, one_line
from webhooks.signing import SecretsError, SecretsFile
from webhooks.transport import PinnedTransport

log = logging.getLogger("webhooks")
EXIT_BAD_SETTINGS, EXIT_FAULT = 2, 70
REDIS_TIMEOUT_S, HEALTH_CHECK_S = 5.0, 15


def main() -> int:
    """Exit status: 0 after a signal, 2 for settings or secrets, 70 after a fault of ours."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        settings = SenderSettings()
        secrets = _secrets(settings)
    except ValidationError as error:
        log.error("cannot start: %s", one_line(error))
        return EXIT_BAD_SETTINGS
    except (SecretsError, OSError) as error:
        log.error("cannot start: %s", error)
        return EXIT_BAD_SETTINGS
    try:
        asyncio.run(_send(settings, secrets))
    except ExceptionGroup:
        log.exception("a fault of this service")
        return EXIT_FAULT
    return 0


def _secrets(settings: SenderSettings) -> SecretsFile:
    """Readable now. Raises SecretsError, OSError."""
    secrets = SecretsFile(settings.secrets_file or settings.data_dir / "webhook-secrets.toml")
    if settings.secrets_file is None and secrets.create_if_missing():
        log.info("receivers verify deliveries with the secret in %s", secrets.path)
    secrets.read()
    return secrets


async def _send(settings: SenderSettings, secrets: SecretsFile) -> None:
    # Repeats nothing by itself: the sender's loop does, and must know.
    redis = Redis.from_url(
        settings.redis_url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=REDIS_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_S,
    )
    with redis:
        async with PinnedTransport(settings.webhook_policy) as transport:
            poster = Poster(
                transport,
                secrets,
                timeout_s=settings.timeout_s,
                public_url=settings.public_url,
            )
            sender = Sender(
                f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
                WebhookStore(redis),
                poster.post,
                timeout_s=settings.timeout_s,
                at_once=settings.at_once,
                scale=settings.retry_scale,
            )
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, sender.leave)
            await sender.run()


if __name__ == "__main__":
    sys.exit(main())
