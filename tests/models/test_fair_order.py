"""An order of chance that is the same each time, for images and for labels."""

import torch

from models.fair_order import shuffled


def test_labels_stay_beside_their_images_and_nothing_is_lost() -> None:
    labels = torch.arange(300) // 100
    images = torch.arange(300).reshape(-1, 1, 1, 1)
    moved = shuffled(images).flatten()
    assert torch.equal(shuffled(labels), moved // 100)
    assert torch.equal(moved.sort().values, torch.arange(300))
    assert torch.equal(shuffled(images).flatten(), moved), "the same again"


def test_the_first_of_images_sorted_by_class_are_of_every_class() -> None:
    some = shuffled(torch.arange(3000) // 300, 500)
    assert len(some) == 500
    assert torch.equal(some, shuffled(torch.arange(3000) // 300)[:500])
    assert 30 < int(some.bincount().min()) <= int(some.bincount().max()) < 70
