"""Who may be in the engine together: many at once, or one that is under suspicion, alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Company:
    """Those who must be alone go first: nobody else comes in while one of them waits.

    Thread-safe. Knows no shards; what it lets in is a `with` block.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._waiting_alone = 0
        self._one_alone = self._closed = False

    @property
    def wants_quiet(self) -> bool:
        """Whether somebody is alone, or waits to be: whoever came now would wait as well."""
        with self._changed:
            return self._one_alone or self._waiting_alone > 0

    @contextmanager
    def entered(self, *, alone: bool) -> Iterator[bool]:
        """Wait for one's turn; False, at once, where nobody is let in any more."""
        if not self._enter(alone=alone):
            yield False
            return
        try:
            yield True
        finally:
            self._leave()

    def close(self) -> None:
        """Let nobody in any more; those inside stay as long as they like."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _enter(self, *, alone: bool) -> bool:
        with self._changed:
            self._waiting_alone += alone
            try:
                self._changed.wait_for(lambda: self._closed or self._has_room(alone=alone))
            finally:
                self._waiting_alone -= alone
                self._changed.notify_all()
            if self._closed:
                return False
            self._inside += 1
            self._one_alone = alone
            return True

    def _has_room(self, *, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._one_alone and self._waiting_alone == 0

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._one_alone = False
            self._changed.notify_all()
