"""The order of training: shuffled, endless, and the same from wherever it is taken up."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.data import DataError, batches


def numbered(count: int) -> Tensor:
    """Images that say which they are."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None]


def first(n: int, images: Tensor, *, batch: int, start: int = 0, seed: int = 0) -> list[list[int]]:
    stream = itertools.islice(batches(images, batch=batch, start=start, seed=seed), n)
    return [b.flatten().tolist() for b in stream]


def test_every_image_comes_once_in_each_epoch() -> None:
    stream = first(8, numbered(12), batch=3)
    for epoch in (stream[:4], stream[4:]):
        assert sorted(itertools.chain(*epoch)) == list(range(12))


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    one, two = first(4, numbered(12), batch=3), first(4, numbered(12), batch=3, start=4)
    assert one != two
    assert one != first(4, numbered(12), batch=3, seed=1)
    assert one == first(4, numbered(12), batch=3, seed=0)


def test_what_does_not_fill_a_batch_waits_for_another_epoch() -> None:
    epoch = first(3, numbered(11), batch=3)
    assert len(set(itertools.chain(*epoch))) == 9
    later = set(itertools.chain(*first(30, numbered(11), batch=3)))
    assert later == set(range(11))


@settings(deadline=None)
@given(
    count=st.integers(1, 40),
    batch=st.integers(1, 40),
    start=st.integers(0, 60),
    seed=st.integers(0),
)
def test_a_resumed_stream_goes_on_where_the_first_one_was(
    count: int, batch: int, start: int, seed: int
) -> None:
    images, batch, seed = numbered(count), min(batch, count), seed % 2**31
    whole = first(start + 5, images, batch=batch, seed=seed)
    assert first(5, images, batch=batch, start=start, seed=seed) == whole[start:]


def test_fewer_images_than_a_batch_are_refused() -> None:
    with pytest.raises(DataError, match="3 images do not fill one batch of 4"):
        next(batches(numbered(3), batch=4, start=0, seed=0))
