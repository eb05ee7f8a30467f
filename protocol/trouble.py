"""What Redis says while it is away, full or not the master: wait, and say it again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

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


class Trouble(Enum):
    """Kinds of it, all of which pass."""

    AWAY = auto()  # nobody answers, or one who may not write
    FULL = auto()
    NO_DISK = auto()  # full, or gone


# Where the error has no type of its own, its text tells: of scripts in Redis 6.2, of disks in all.
WORDS = {"-OOM ": Trouble.FULL, "MISCONF ": Trouble.NO_DISK, "-READONLY ": Trouble.AWAY}


def trouble_of(error: RedisError) -> Trouble | None:
    """What stands behind an error; None: a mistake of ours, which would be made again."""
    match error:
        case ConnectionError() | TimeoutError() | ReadOnlyError():
            return Trouble.AWAY
        case OutOfMemoryError() | ExecAbortError():  # in a transaction, a command is told of it
            return Trouble.FULL
        case ResponseError():
            return next((WORDS[word] for word in WORDS if word in str(error)), None)
    return None


def passes(error: RedisError) -> bool:
    """Whether the same command may succeed later."""
    return trouble_of(error) is not None


@contextmanager
def passing_trouble(what: str) -> Iterator[None]:
    """Go on behind the block where Redis was in passing trouble; the log says `what` came of it."""
    try:
        yield
    except RedisError as error:
        if not passes(error):
            raise
        log.warning("%s: %s", what, error)
