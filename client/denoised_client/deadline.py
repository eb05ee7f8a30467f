"""Until when somebody waits."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment, or none."""

    at: float | None = None

    @classmethod
    def after(cls, timeout_s: float | None) -> "Deadline":
        """So many seconds from now; None: never."""
        return cls(None if timeout_s is None else time.monotonic() + timeout_s)

    def left_s(self, at_most_s: float = math.inf) -> float:
        """Seconds until then; less than none when it is over."""
        return at_most_s if self.at is None else min(at_most_s, self.at - time.monotonic())

    def not_before(self, seconds: float) -> "Deadline":
        """This one, or so many seconds from now where that is later."""
        return self if self.left_s() >= seconds else Deadline.after(seconds)
