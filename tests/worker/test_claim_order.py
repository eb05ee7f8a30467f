"""Urgent first, and nobody never."""

from hypothesis import given
from hypothesis import strategies as st

from worker.claim_order import OUT_OF_TURN, claim_order

QUEUES = ["high", "normal", "low"]


@given(st.integers(0, 10**6))
def test_every_claim_asks_every_queue_once(claim: int) -> None:
    assert sorted(claim_order(QUEUES, claim)) == sorted(QUEUES)


@given(st.integers(0, 10**6))
def test_every_queue_comes_first_within_three_turns_of_eight(start: int) -> None:
    claims = range(start, start + OUT_OF_TURN * len(QUEUES))
    assert {claim_order(QUEUES, claim)[0] for claim in claims} == set(QUEUES)


@given(st.integers(0, 10**6))
def test_seven_claims_in_eight_are_as_urgent_as_can_be(start: int) -> None:
    claims = range(start, start + OUT_OF_TURN)
    assert sum(claim_order(QUEUES, claim) == QUEUES for claim in claims) >= OUT_OF_TURN - 1
