"""Distances between sets of features, against what is known by other ways."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.evaluation.distances import (
    frechet_distance,
    kernel_distance,
    nearest,
    precision_recall,
)


def normal(rows: int, dims: int, seed: int) -> Tensor:
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dims, generator=dice, dtype=torch.float64)


def mixed(rows: int, dims: int, seed: int) -> Tensor:
    """Features that depend on each other, of very different scales."""
    return normal(rows, dims, seed) @ normal(dims, dims, seed + 1).mul(2.0) + seed


def whitened(rows: int, dims: int, seed: int) -> Tensor:
    """Features whose own mean is 0 and whose own covariance is the identity, to rounding."""
    x = normal(rows, dims, seed)
    x = x - x.mean(dim=0)
    white: Tensor = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    return white


def test_gaussians_whose_covariances_commute_have_a_closed_form() -> None:
    scale_a = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    scale_b = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    shift = torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    a, b = whitened(500, 3, 0) * scale_a, whitened(400, 3, 1) * scale_b + shift
    expected = float(shift.square().sum() + (scale_a - scale_b).square().sum())
    assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-9)


def test_any_gaussians_have_the_distance_that_eigenvalues_give() -> None:
    """tr (A B)^1/2 is the sum of the roots of A B's eigenvalues, whatever the order of the two."""
    a, b = mixed(300, 12, 0), mixed(200, 12, 7)
    A, B = (np.cov(each.numpy(), rowvar=False) for each in (a, b))  # noqa: N806
    shared = np.sqrt(np.linalg.eigvals(A @ B).astype(complex)).real.sum()
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    expected = float(gap) + np.trace(A) + np.trace(B) - 2.0 * shared
    assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-8)


def test_a_set_is_at_no_distance_from_itself_also_where_features_never_vary() -> None:
    a = mixed(100, 6, 0)
    a[:, 2] = 5.0
    assert frechet_distance(a, a).value == pytest.approx(0.0, abs=1e-6)


def test_few_images_look_farther_than_they_are() -> None:
    few, many = (frechet_distance(normal(n, 8, 0), normal(n, 8, 1)).value for n in (50, 5000))
    assert 0.0 < many < 0.1 * few


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="n: a covariance needs 2 images at least, got 1"):
        frechet_distance(normal(1, 4, 0), normal(9, 4, 1))


def skewed(rows: int, seed: int) -> Tensor:
    """Two features that depend on each other, one of them skewed, and one that never varies."""
    one, two = normal(rows, 2, seed).T
    return torch.stack([one + 0.5 * two, two + 0.3 * two.square(), torch.ones_like(one)], dim=1)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_error_of_the_frechet_distance_is_how_much_it_scatters(shift: float) -> None:
    real = torch.cat([1.2 * normal(2000, 2, 0), torch.ones(2000, 1)], dim=1)
    draws = [skewed(400, seed) + shift for seed in range(1, 401)]
    found = [frechet_distance(a, real) for a in draws]
    scatter = np.std([each.value for each in found], ddof=1)
    assert np.mean([each.standard_error for each in found]) == pytest.approx(scatter, rel=0.12)


def kids(shift: float, trials: int = 200) -> tuple[np.ndarray, np.ndarray]:
    found = [
        kernel_distance(normal(40, 2, 2 * i), normal(40, 2, 2 * i + 1) + shift)
        for i in range(trials)
    ]
    return np.array([f.value for f in found]), np.array([f.standard_error for f in found])


def test_the_kernel_distance_is_that_of_the_definition() -> None:
    a, b = normal(7, 3, 0), normal(7, 3, 1)

    def k(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / 3 + 1.0) ** 3

    terms = [
        k(a[i], a[j]) + k(b[i], b[j]) - k(a[i], b[j]) - k(a[j], b[i])
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    assert kernel_distance(a, b).value == pytest.approx(float(np.mean(terms)), rel=1e-12)


def test_it_is_zero_on_average_where_both_are_the_same() -> None:
    values, _ = kids(shift=0.0)
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(len(values))
    assert (values < 0).any(), "unbiased: it does not stop at 0"


def test_it_is_right_on_average_where_they_differ_and_says_how_much_it_scatters() -> None:
    """The truth is what very many images give."""
    values, errors = kids(shift=1.0)
    truth = kernel_distance(normal(6000, 2, 10_001), normal(6000, 2, 10_002) + 1.0)
    off = 4 * (values.std() / math.sqrt(len(values)) + truth.standard_error)
    assert values.mean() == pytest.approx(truth.value, abs=off)
    assert 0.7 * values.std() < errors.mean() < 1.5 * values.std()


@pytest.mark.parametrize(("a", "b"), [(3, 4), (1, 1)])
def test_sets_that_cannot_be_paired_are_refused(a: int, b: int) -> None:
    with pytest.raises(ValueError, match=f"n: needs as many of both, 2 at least, got {a} and {b}"):
        kernel_distance(normal(a, 2, 0), normal(b, 2, 1))


def around(*centres: float, rows: int = 40) -> Tensor:
    """So many points about each of some places on a line, in two dimensions."""
    return torch.cat([normal(rows, 2, int(c)) * 0.1 + c for c in centres])


def test_precision_sees_images_that_are_not_real_and_recall_real_ones_that_are_missing() -> None:
    real = around(0, 10)
    assert precision_recall(around(0, 50), real)[0] == pytest.approx(0.5, abs=0.1)
    assert precision_recall(around(0, 50), real)[1] == pytest.approx(0.5, abs=0.1)
    precision, recall = precision_recall(around(0, rows=80), real)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
    precision, recall = precision_recall(around(0, 10, 20, 30, rows=40), real)
    assert precision == pytest.approx(0.5, abs=0.05)
    assert recall > 0.9
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(around(99), real) == (0.0, 0.0)


def test_a_ball_reaches_to_the_third_neighbour_and_not_further() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    inside, outside = torch.full((4, 1), -2.9).double(), torch.full((4, 1), -3.1).double()
    assert precision_recall(inside, real)[0] == 1.0
    assert precision_recall(outside, real)[0] == 0.0


def test_three_images_have_no_third_neighbour() -> None:
    with pytest.raises(ValueError, match="n: precision and recall need 4 images"):
        precision_recall(normal(3, 2, 0), normal(9, 2, 0))


def test_the_nearest_of_many_is_found_across_parts() -> None:
    among = normal(700, 5, 0)
    points = among[[699, 3, 350]] + 1e-3
    distances, places = nearest(points, among)
    assert places.tolist() == [699, 3, 350]
    assert distances.tolist() == pytest.approx([1e-3 * math.sqrt(5)] * 3, rel=1e-4)
    everything, _ = nearest(among, points)  # more points than are taken at a time
    assert len(everything) == 700


class Largest(TorchFunctionMode):
    """Bytes of the largest tensor of floats that is made meanwhile."""

    bytes = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.is_floating_point():
            self.bytes = max(self.bytes, out.nbytes)
        return out


def test_the_nearest_of_many_images_is_found_without_a_copy_of_them_all_in_floats() -> None:
    dice = torch.Generator().manual_seed(0)
    among = torch.randint(0, 256, (3000, 3, 20, 20), generator=dice, dtype=torch.uint8)
    points = torch.cat([among[[2999, 7]], 255 - among[:198]])
    with Largest() as largest:
        found, places = nearest(points, among, at_a_time=200 * 1200)
    assert largest.bytes < 4 * among.numel() / 10
    assert places[:2].tolist() == [2999, 7]
    whole = torch.cdist(points.flatten(1).double(), among.flatten(1).double()).min(dim=1)
    assert torch.equal(places, whole.indices)
    assert torch.allclose(found[2:].double(), whole.values[2:], rtol=1e-5)
