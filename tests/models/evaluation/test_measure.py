"""What a report says of sets of images, constructed so that the answer is known."""

import pytest
import torch
from torch import Tensor

from models.evaluation.distances import frechet_distance
from models.evaluation.extractor import Features
from models.evaluation.measure import (
    Images,
    distances,
    floor_of,
    floors,
    histogram,
    histogram_of_real,
    in_turns,
    neighbours,
)

NAMES = ("a", "b", "c", "d")


def images(rows: int, seed: int, shift: float = 0.0) -> Images:
    dice = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 4, generator=dice, dtype=torch.float64) + shift
    return Images(torch.zeros(rows, 1, 4, 4, dtype=torch.uint8), Features(features))


def test_a_model_as_good_as_real_images_reaches_the_floors() -> None:
    train, test = images(2000, 0), images(600, 1)
    good, bad = (distances(images(400, 2, shift), train, test) for shift in (0.0, 1.0))
    floor = floors(train, test, 400)
    assert good["fid_test"] < 3 * floor["fid_train_against_n_test"] < bad["fid_test"]
    assert good["kid_95ci"][0] < 0.0 < good["kid_95ci"][1]
    assert bad["kid_95ci"][0] > 0.0
    assert good["precision"] == pytest.approx(floor["precision_n_train"], abs=0.1)
    assert floor["fid_train_half_against_half"] < floor["fid_train_against_n_test"]
    assert (good["n_pairs"], distances(images(900, 2), train, test)["n_pairs"]) == (400, 600)


def test_a_floor_is_of_as_many_images_as_the_figure_it_stands_beside() -> None:
    train, test = images(2000, 0), images(600, 1)
    found = floors(train, test, 50)
    assert found["images"] == {
        "fid_train_half_against_half": [1000, 1000],
        "fid_train_against_test": [2000, 600],
        "fid_train_against_n_test": [2000, 50],
        "fid_n_train_against_test": [50, 600],
        "kid_n_train_against_n_test": [50, 50],
        "precision_n_train": [50, 50],
        "recall_n_train": [50, 50],
    }
    few = test.features.values[:50]
    assert floor_of("fid_train", found) == (frechet_distance(train.features.values, few).value, 50)
    of_fid_test, count = floor_of("fid_test", found)
    assert (of_fid_test, count) == (found["fid_n_train_against_test"], 50)
    as_good = distances(images(50, 2), train, test)
    assert as_good["fid_test"] / 4 < of_fid_test < 4 * as_good["fid_test"]
    assert of_fid_test > 4 * found["fid_train_against_test"], "fifty are few"


def test_a_floor_that_is_of_fewer_images_than_were_drawn_says_so() -> None:
    train, test = images(2000, 0), images(600, 1)
    found = floors(train, test, 5000)
    assert floor_of("fid_train", found) == (found["fid_train_against_test"], 600)
    value, count = floor_of("fid_test", found)
    assert count == 2000
    assert value == pytest.approx(found["fid_train_against_test"], rel=1e-9), "all, shuffled"
    assert found["images"]["kid_n_train_against_n_test"] == [600, 600]


def test_floors_do_not_mind_that_training_images_come_in_order() -> None:
    ordered = images(2000, 0)
    values = ordered.features.values[ordered.features.values[:, 0].argsort()]
    found = floors(Images(ordered.pixels, Features(values)), images(600, 1), 300)
    assert found["fid_train_half_against_half"] < 0.1
    assert found["recall_n_train"] > 0.7


def test_classes_in_equal_shares_give_no_chi_squared_and_a_p_of_1() -> None:
    found = histogram(torch.arange(400) % 4, NAMES)
    assert found["shares"] == dict.fromkeys(NAMES, 0.25)
    assert (found["chi_squared"], found["least"], found["most"]) == (0.0, 1.0, 1.0)
    assert found["p"] == pytest.approx(1.0)


def test_chi_squared_is_that_of_the_tables() -> None:
    """7.815 is the 5 % point of three degrees of freedom."""
    counts = torch.tensor([100, 100, 100, 100]) + torch.tensor([19, 1, -1, -19])
    found = histogram(torch.repeat_interleave(torch.arange(4), counts), NAMES)
    assert found["chi_squared"] == pytest.approx((2 * 19**2 + 2) / 100)
    assert found["p"] == pytest.approx(0.0648, abs=2e-4)
    at_5_percent = torch.special.gammaincc(torch.tensor(1.5), torch.tensor(7.815 / 2))
    assert float(at_5_percent) == pytest.approx(0.05, abs=1e-4)


def test_a_class_that_never_comes_up_is_seen() -> None:
    found = histogram(torch.arange(300) % 3, NAMES)
    assert found["shares"]["d"] == found["least"] == 0.0
    assert found["most"] == pytest.approx(4 / 3)
    assert found["p"] < 1e-10


def test_there_is_no_p_where_as_many_of_each_class_were_asked_for() -> None:
    """Not drawn at random, so chi squared is not distributed as if: only mistakes scatter."""
    seen = torch.arange(400) % 4
    seen[:30] = 1
    drawn, asked = histogram(seen, NAMES), histogram(seen, NAMES, asked=True)
    assert 0.0 < drawn["p"] < 1.0
    assert asked == drawn | {"p": None}


def test_classes_that_take_turns_come_equally_often_as_far_as_they_reach() -> None:
    labels = torch.tensor([2, 2, 2, 0, 0, 1, 2, 0])
    assert labels[in_turns(labels)].tolist() == [0, 1, 2, 0, 2, 0, 2, 2]
    assert in_turns(labels).tolist() == [3, 5, 0, 4, 1, 7, 2, 6]


def test_real_images_are_counted_as_those_they_stand_beside() -> None:
    dice = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (2000,), generator=dice)
    seen = torch.where(torch.rand(2000, generator=dice) < 0.1, 3, labels)  # mistaken, some
    by_chance, in_turn = (histogram_of_real(seen, NAMES, 200, known) for known in (None, labels))
    assert by_chance["shares"] == histogram(seen[:200], NAMES)["shares"]
    assert in_turn["shares"] == histogram(seen[in_turns(labels)[:200]], NAMES)["shares"]
    assert by_chance["images"] == in_turn["images"] == 200
    assert (by_chance["by_class"], in_turn["by_class"]) == (False, True)
    assert in_turn["most"] < 1.6
    assert "p" not in by_chance
    assert histogram_of_real(seen, NAMES, 5000, None)["images"] == 2000


def random_pixels(rows: int, seed: int) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (rows, 1, 6, 6), generator=dice, dtype=torch.uint8)


def test_copies_of_training_images_are_found() -> None:
    train, test = random_pixels(200, 0), random_pixels(100, 1)
    generated = torch.cat([train[[17, 150]], random_pixels(18, 2)])
    near = neighbours(generated, train, test)
    assert near.places[:2].tolist() == [17, 150]
    assert float(near.of_generated[:2].max()) < 0.01 < float(near.of_test.min())
    assert near.told["share_as_close_as_1_percent_of_test"] >= 0.1
    assert near.told["median_generated"] == pytest.approx(near.told["median_test"], rel=0.1)


def test_a_mirrored_copy_is_one_where_training_mirrored_images() -> None:
    train, test = random_pixels(200, 0), random_pixels(100, 1)
    test[5] = train[60].flip(-1)
    generated = torch.cat([train[[17]], train[[150]].flip(-1), random_pixels(18, 2)])
    plain, near = (
        neighbours(generated, train, test, mirrored=mirrored) for mirrored in (False, True)
    )
    assert near.places[:2].tolist() == [17, 150]
    assert float(near.of_generated[:2].max()) < 0.01 < float(plain.of_generated[1])
    assert float(near.of_test[5]) < 0.01 < float(plain.of_test[5]), "in test images alike"
    assert bool((near.of_generated <= plain.of_generated).all())
    assert (plain.told["mirrored_too"], near.told["mirrored_too"]) == (False, True)


def test_new_images_are_as_far_from_the_training_set_as_test_images() -> None:
    near = neighbours(random_pixels(200, 2), random_pixels(200, 0), random_pixels(200, 1))
    assert near.told["share_as_close_as_1_percent_of_test"] < 0.06
