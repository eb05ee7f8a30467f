"""The size of a step."""

from hypothesis import given
from hypothesis import strategies as st

from worker.places import places

CPU = {2: 0.010, 4: 0.015, 8: 0.024, 16: 0.040}
SIZES = st.dictionaries(
    st.sampled_from([2, 4, 8, 16, 32]), st.floats(0.001, 1.0), min_size=1, max_size=5
)


def test_a_few_rows_more_than_a_chunk_wait_for_their_turn() -> None:
    assert [places(rows, CPU) for rows in (1, 2, 4, 5, 7, 8, 9, 11, 12, 16, 40)] == [
        *(2, 2, 4, 4, 8, 8, 8, 8, 16, 16, 16)
    ]


def test_where_all_sizes_cost_the_same_nobody_waits() -> None:
    flat = dict.fromkeys((4, 8, 16), 0.01)
    assert [places(rows, flat) for rows in (1, 4, 5, 9, 16, 17)] == [4, 4, 8, 16, 16, 16]


@given(st.integers(0, 100), SIZES)
def test_a_size_that_is_full_is_taken_whatever_was_measured(
    more: int, step_s: dict[int, float]
) -> None:
    for size in step_s:
        assert places(size, step_s) == size
    assert places(max(step_s) + more, step_s) == max(step_s)


@given(st.integers(1, 100), SIZES)
def test_no_place_stays_empty_but_to_hold_all(rows: int, step_s: dict[int, float]) -> None:
    chosen = places(rows, step_s)
    assert chosen <= rows or not [size for size in step_s if rows <= size < chosen]
