"""Whether workers claim, and asking them to leave: what RQ has for both.

Beside `shard_queue` the only module of this package that imports rq.
"""

from redis import Redis
from rq.command import send_shutdown_command
from rq.suspension import is_suspended, resume, suspend


class Claiming:
    """Of all workers on a Redis, whatever model they serve."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @property
    def paused(self) -> bool:
        """Whether no worker claims."""
        return bool(is_suspended(self.redis))

    def pause(self) -> None:
        """Let no worker claim, until `resume`; what runs goes on."""
        suspend(self.redis)

    def resume(self) -> None:
        """Let workers claim again."""
        resume(self.redis)

    def drain(self, worker: str) -> None:
        """Ask a worker to claim nothing more, to finish what runs, and to leave. It may be asked
        twice; one that does not listen is not waited for."""
        send_shutdown_command(self.redis, worker)
