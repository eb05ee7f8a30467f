"""When a delivery is tried again: for any number of tries, any chance, any answer."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.webhook_store import DeliveryState
from webhooks.schedule import (
    DELAYS_S,
    JITTER,
    LONGEST_WISH_S,
    Answer,
    delay_before,
    retry_after_s,
    settlement,
)

MINUTE, HOUR = 60, 3600
tries = st.integers(0, 30)
chances = st.floats(0, 1, exclude_max=True)
scales = st.floats(1e-6, 10)
failures = st.integers(100, 599).filter(lambda status: status // 100 != 2 and status != 410)
answers = st.builds(
    Answer,
    status=st.none() | failures,
    retry_after_s=st.none() | st.floats(0, 1e9),
)


def test_the_delays_are_those_of_standard_webhooks() -> None:
    hours = [h * HOUR for h in (2, 5, 10, 14, 20, 24)]
    assert list(DELAYS_S) == [0, 5, 5 * MINUTE, 30 * MINUTE, *hours]


@given(tries=tries, chance=chances, scale=scales)
def test_a_delay_is_jittered_but_never_shorter(tries: int, chance: float, scale: float) -> None:
    delay_s = delay_before(tries, chance=chance, scale=scale)
    if tries >= len(DELAYS_S):
        assert delay_s is None
        return
    assert delay_s is not None
    nominal = DELAYS_S[tries] * scale
    assert nominal <= delay_s <= nominal * (1 + JITTER)


def test_chance_moves_the_delay() -> None:
    assert delay_before(1, chance=0.0) == 5
    assert delay_before(1, chance=0.5) == pytest.approx(5 * (1 + JITTER / 2))


@given(tries=tries, answer=answers, chance=chances, scale=scales)
def test_a_failure_is_tried_again_until_the_schedule_ends(
    tries: int, answer: Answer, chance: float, scale: float
) -> None:
    settled = settlement(tries, answer, chance=chance, scale=scale)
    assert settled.tries == tries + 1
    is_last = tries + 1 >= len(DELAYS_S)
    assert (settled.state is DeliveryState.FAILED) == is_last == (settled.delay_s is None)
    assert settled.state in (DeliveryState.FAILED, DeliveryState.PENDING)


@given(tries=tries, status=st.integers(200, 299), chance=chances)
def test_any_2xx_is_the_end_of_it(tries: int, status: int, chance: float) -> None:
    settled = settlement(tries, Answer(status), chance=chance, scale=1.0)
    assert (settled.state, settled.delay_s) == (DeliveryState.DELIVERED, None)


@given(tries=tries, chance=chances)
def test_gone_is_the_end_of_it_too(tries: int, chance: float) -> None:
    settled = settlement(tries, Answer(410), chance=chance, scale=1.0)
    assert (settled.state, settled.delay_s) == (DeliveryState.DISABLED, None)


@given(tries=st.integers(0, 8), status=failures, wish_s=st.floats(0, 1e9), chance=chances)
def test_retry_after_is_obeyed_where_an_endpoint_is_busy_and_never_makes_it_sooner(
    tries: int, status: int, wish_s: float, chance: float
) -> None:
    asked = settlement(tries, Answer(status, retry_after_s=wish_s), chance=chance, scale=1.0)
    usual = settlement(tries, Answer(status), chance=chance, scale=1.0)
    assert asked.delay_s is not None
    assert usual.delay_s is not None
    obeyed = min(wish_s, LONGEST_WISH_S) if status in (429, 503) else 0.0
    assert asked.delay_s == max(usual.delay_s, obeyed)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 5000, LONGEST_WISH_S),
        (format_datetime(NOW.replace(minute=2), usegmt=True), 120.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 99999 00:00:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(field: str | None, seconds: float | None) -> None:
    assert retry_after_s(field, now=NOW.timestamp()) == seconds


@given(field=st.text())
def test_no_retry_after_crashes_us(field: str) -> None:
    found = retry_after_s(field, now=0.0)
    assert found is None or found >= 0
