"""How far two sets of features (N, D) lie apart, and how well each covers the other."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 3  # of precision and recall, as in Kynkaanniemi et al. 2019
ROWS = 500  # of a table of distances at a time


@dataclass(frozen=True)
class Interval:
    """An estimate and its standard error."""

    value: float
    standard_error: float


def frechet_distance(a: Tensor, b: Tensor) -> Interval:
    """FID: |mu_a - mu_b|^2 + tr(A + B - 2 (A B)^1/2), of Gaussians fitted to both (Heusel 2017).

    tr (A B)^1/2 is the sum of the singular values of A^1/2 B^1/2: no complex numbers, no epsilon.
    Biased upwards by about 1/N: compare at equal N alone. The standard error is by the draw of `a`,
    with `b` as it is. Raises ValueError for fewer than 2 rows.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"n: a covariance needs 2 images at least, got {min(len(a), len(b))}")
    gap, A, B = a.mean(dim=0) - b.mean(dim=0), a.T.cov(), b.T.cov()  # noqa: N806
    root = _root(A)
    U, S, _ = torch.linalg.svd(root @ _root(B))  # noqa: N806
    value = gap.square().sum() + A.trace() + B.trace() - 2.0 * S.sum()
    return Interval(float(value), _frechet_error(a, gap, root, (U * S) @ U.T))


def _frechet_error(a: Tensor, gap: Tensor, root: Tensor, shared: Tensor) -> float:
    """By what an image that is d away from the mean moves FID to first order, its influence,

        2 (mu_a - mu_b) . d + d' (I - T) d,   T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2,

    I - T being what FID's gradient by A is: T transports the one Gaussian onto the other. `root` is
    A^1/2, `shared` what stands in T's middle.
    """
    d = a - a.mean(dim=0)
    inverse = torch.linalg.pinv(root, rtol=1e-6, hermitian=True)  # no image lies where it has none
    influence = d @ (2.0 * gap) + (d * (d - d @ (inverse @ shared @ inverse))).sum(dim=1)
    return float(influence.std() / len(a) ** 0.5)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    return root


def kernel_distance(a: Tensor, b: Tensor) -> Interval:
    """KID, unbiased: squared MMD of k(x, y) = (x.y / D + 1)^3 (Binkowski et al. 2018).

    A U-statistic of h = k(a, a') + k(b, b') - k(a, b') - k(a', b), sets of equal size paired as
    they come; its standard error is that of h's row means, twice (Gretton et al. 2012, eq. 8).
    Raises ValueError for sets of different sizes.
    """
    n = len(a)
    if n != len(b) or n < 2:
        raise ValueError(f"n: needs as many of both, 2 at least, got {n} and {len(b)}")
    places = torch.split(torch.arange(n), ROWS)
    rows = torch.cat([_h_means(a, b, some) for some in places])
    return Interval(float(rows.mean()), float(2.0 * rows.std() / n**0.5))


def _h_means(a: Tensor, b: Tensor, some: Tensor) -> Tensor:
    """Of some of the pairs: the mean of h with every other pair."""
    h = _kernel(a[some], a) + _kernel(b[some], b) - _kernel(a[some], b) - _kernel(b[some], a)
    h[torch.arange(len(some)), some] = 0.0  # with itself
    return h.sum(dim=1) / (len(a) - 1)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """The share of generated images inside the real ones' manifold, and the other way round.

    A manifold is the balls around each image out to its third neighbour (Kynkaanniemi et al. 2019).
    Raises ValueError for sets too small to have one.
    """
    if min(len(generated), len(real)) <= NEIGHBOURS:
        raise ValueError(f"n: precision and recall need {NEIGHBOURS + 1} images of either at least")
    return _covered(generated, real), _covered(real, generated)


def _covered(points: Tensor, manifold: Tensor) -> float:
    radii = torch.cat(
        [
            torch.cdist(part, manifold).kthvalue(NEIGHBOURS + 1).values  # the first is itself
            for part in torch.split(manifold, ROWS)
        ]
    )
    inside = [(torch.cdist(part, manifold) <= radii).any(1) for part in torch.split(points, ROWS)]
    return float(torch.cat(inside).double().mean())


def nearest(points: Tensor, among: Tensor, *, at_a_time: int = 2**26) -> tuple[Tensor, Tensor]:
    """Of each point (N, ...): the distance to the nearest of `among`, and which that is.

    Either may be uint8; floats are made of a part alone, of so many numbers of `among`.
    """
    rows = max(1, at_a_time // among[0].numel())
    found = [_nearest(_floats(part), among, rows) for part in torch.split(points, ROWS)]
    distances, places = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(places)


def _nearest(points: Tensor, among: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    least, places = points.new_full((len(points),), torch.inf), torch.zeros(len(points)).long()
    for begin in range(0, len(among), rows):
        part = _floats(among[begin : begin + rows])
        distance, place = torch.cdist(points, part).min(dim=1)
        places = torch.where(distance < least, begin + place, places)
        least = torch.minimum(distance, least)
    return least, places


def _floats(rows: Tensor) -> Tensor:
    return rows.flatten(1) if rows.is_floating_point() else rows.flatten(1).float()
