"""What Redis says while it is away, full or not the master: wait, and say it again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    ConnectionError,
    ExecAbortError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

log = logging.getLogger(__name__)
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


@contextmanager
def passing_trouble(what: str) -> Iterator[None]:
    """Go on behind the block where Redis was in passing trouble; the log says `what` came of it."""
    try:
        yield
    except RedisError as error:
        if not passes(error):
            raise
        log.warning("%s: %s", what, error)
