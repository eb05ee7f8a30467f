"""When a delivery is tried again, and when it is over. Pure: chance and clock are arguments."""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from protocol.webhook_store import DeliveryState, Settlement

DELAYS_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)  # before each try
JITTER = 0.2  # of the delay, on top of it: endpoints that come back do not meet everybody at once
LONGEST_WISH_S = 86_400.0
SLOW_DOWN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said, or why it said nothing."""

    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None


def settlement(tries: int, answer: Answer, *, chance: float, scale: float) -> Settlement:
    """After the try that follows `tries` others. `chance` in [0, 1); `scale` is of the delays."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Settlement(DeliveryState.DELIVERED, tries + 1, None)
    if answer.status == HTTPStatus.GONE:
        return Settlement(DeliveryState.DISABLED, tries + 1, None)
    delay_s = delay_before(tries + 1, chance=chance, scale=scale)
    if delay_s is None:
        return Settlement(DeliveryState.FAILED, tries + 1, None)
    wish_s = (answer.retry_after_s or 0.0) if answer.status in SLOW_DOWN else 0.0
    return Settlement(DeliveryState.PENDING, tries + 1, max(delay_s, min(wish_s, LONGEST_WISH_S)))


def delay_before(tries: int, *, chance: float, scale: float = 1.0) -> float | None:
    """Seconds between the last try and the one that follows `tries`; None: there is no more."""
    if tries >= len(DELAYS_S):
        return None
    return DELAYS_S[tries] * scale * (1 + JITTER * chance)


def retry_after_s(field: str | None, *, now: float) -> float | None:
    """Of a Retry-After header: seconds, or a date. None where it says nothing of sense."""
    if field is None:
        return None
    if field.isascii() and field.isdecimal():
        return min(float(field[:9]), LONGEST_WISH_S)
    try:
        return max(0.0, parsedate_to_datetime(field).timestamp() - now)
    except (ValueError, OverflowError):
        return None
