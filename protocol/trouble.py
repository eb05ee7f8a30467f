"""What Redis says while it is away, full or not the master: wait, and say it again."""

from redis.exceptions import (
    ConnectionError,
    ExecAbortError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

PASSING = (
    ConnectionError,
    TimeoutError,
    OutOfMemoryError,
    ExecAbortError,  # a transaction in which a command found the memory full
    ReadOnlyError,
)


def passes(error: RedisError) -> bool:
    """Whether the same command may succeed later; all else is a mistake of ours."""
    if isinstance(error, PASSING):
        return True
    return isinstance(error, ResponseError) and "MISCONF" in str(error)  # its disk is full, or gone
