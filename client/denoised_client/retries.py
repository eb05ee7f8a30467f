"""When a failed request is sent again. Pure: chance and time are arguments."""

from dataclasses import dataclass

from denoised_client.errors import ApiError, DenoisedError, Unreachable

RETRIED_STATUSES = (429, 502, 503, 504, 507)
MOST_DOUBLINGS = 64  # more than any bound lets be seen, and far from where a float overflows
FINAL_CODES = ("no_worker",)  # the caller asked to be told rather than to wait


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient we are. `retries=0` gives up at the first failure."""

    retries: int = 5
    patience_s: float = 60.0  # pauses add up to this at most
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0  # of our own choice; the service may ask for longer

    def pause_s(
        self, error: DenoisedError, *, failures: int, paused_s: float, chance: float
    ) -> float | None:
        """How long to pause before the next try; None to give up.

        Never earlier than the service's Retry-After. `chance`, 0 ... 1, spreads clients that
        failed together.
        """
        if failures > self.retries or not _may_pass(error):
            return None
        pause_s = self._at_least_s(error, failures) * (1.0 + chance / 4)
        return pause_s if paused_s + pause_s <= self.patience_s else None

    def _at_least_s(self, error: DenoisedError, failures: int) -> float:
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            return error.retry_after_s
        doublings = min(failures - 1, MOST_DOUBLINGS)
        doubled: float = self.first_pause_s * 2.0**doublings
        return min(self.longest_pause_s, doubled)


PATIENT = RetryPolicy()


def _may_pass(error: DenoisedError) -> bool:
    if isinstance(error, ApiError):
        return error.status in RETRIED_STATUSES and error.code not in FINAL_CODES
    return isinstance(error, Unreachable)
