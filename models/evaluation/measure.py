"""All the figures of a set of images beside real ones, and what real ones reach themselves.

FID falls with N whatever the model: every floor is there to be compared at its own N.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from models.evaluation.distances import (
    frechet_distance,
    kernel_distance,
    nearest,
    precision_recall,
)
from models.evaluation.extractor import Features

WHITE = 255.0  # of uint8, where distances are told with white as 1
CLOSE = 0.01  # the share of test images that lie as close to a training image as "copied" begins


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels uint8 (N, C, H, W) and what an extractor makes of them."""

    pixels: Tensor
    features: Features


def distances(generated: Images, train: Images, test: Images) -> dict[str, Any]:
    """FID against both splits, KID and precision/recall against as many test images.

    Standard errors of FID are by the draw of the generated images, not of the real ones.
    Where there are fewer test images than generated ones, the first so many generated ones count
    in KID and precision/recall; `n_pairs` says how many.
    """
    n = min(len(generated.pixels), len(test.pixels))
    fake, real = generated.features.values[:n], test.features.values[:n]
    kid = kernel_distance(fake, real)
    precision, recall = precision_recall(fake, real)
    return {
        **_fid("fid_train", generated, train),
        **_fid("fid_test", generated, test),
        "kid": kid.value,
        "kid_95ci": [kid.value - 1.96 * kid.standard_error, kid.value + 1.96 * kid.standard_error],
        "precision": precision,
        "recall": recall,
        "n_pairs": n,
    }


def _fid(name: str, generated: Images, real: Images) -> dict[str, float]:
    fid = frechet_distance(generated.features.values, real.features.values)
    return {name: fid.value, f"{name}_standard_error": fid.standard_error}


def floors(train: Images, test: Images, n: int, *, seed: int = 0) -> dict[str, Any]:
    """What real images reach among themselves: no model is better, and `n` says how much N costs.

    `images` says of each how many of either set it is of: fewer than n where there are no more. The
    n training images are drawn by `seed`, for training sets are ordered.
    """
    real, held_out = train.features.values, test.features.values
    shuffled = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))]
    half, pairs = len(real) // 2, min(n, len(held_out), len(real))
    some, few = shuffled[:pairs], held_out[:pairs]
    precision, recall = precision_recall(some, few)
    fids = {
        "fid_train_half_against_half": (shuffled[:half], shuffled[half:]),
        "fid_train_against_test": (real, held_out),
        "fid_train_against_n_test": (real, held_out[:n]),
        "fid_n_train_against_test": (shuffled[:n], held_out),
    }
    found = {name: frechet_distance(*sets).value for name, sets in fids.items()} | {
        "kid_n_train_against_n_test": kernel_distance(some, few).value,
        "precision_n_train": precision,
        "recall_n_train": recall,
    }
    return found | {"images": {name: _sizes(*fids.get(name, (some, few))) for name in found}}


def _sizes(a: Tensor, b: Tensor) -> list[int]:
    return [len(a), len(b)]


def floor_of(fid: Literal["fid_train", "fid_test"], found: dict[str, Any]) -> tuple[float, int]:
    """Of `floors`: what n real images have in place of a model's, and how many they really were.

    Held-out ones beside the training set, training images beside the test set.
    """
    name, place = {
        "fid_train": ("fid_train_against_n_test", 1),
        "fid_test": ("fid_n_train_against_test", 0),
    }[fid]
    return found[name], found["images"][name][place]


def histogram(classes: Tensor, names: tuple[str, ...], *, asked: bool = False) -> dict[str, Any]:
    """Each class's share, and chi squared against equal shares with its p-value.

    `least` and `most` are in units of the equal share: 1 is a class that came up as it should.
    `p` is None where as many of each class were `asked` for: then no class is drawn at random, only
    mistakes scatter, and chi squared is smaller than the tables say.
    """
    found = _against_equal_shares(classes, names)
    freedom = torch.tensor((len(names) - 1) / 2.0, dtype=torch.float64)
    half = torch.tensor(found["chi_squared"] / 2.0, dtype=torch.float64)
    return found | {"p": None if asked else float(torch.special.gammaincc(freedom, half))}


def histogram_of_real(
    classes: Tensor, names: tuple[str, ...], n: int, labels: Tensor | None
) -> dict[str, Any]:
    """What n real images get in place of a model's: the floor of `histogram`.

    `classes` (N,) is what they are taken for. Where `labels` (N,) say what they are, classes take
    turns, as in images that were asked for by class; else the first n count.
    """
    some = classes[:n] if labels is None else classes[in_turns(labels)[:n]]
    found = _against_equal_shares(some, names)
    return {"images": len(some), "by_class": labels is not None} | found


def in_turns(labels: Tensor) -> Tensor:
    """(N,) the places of `labels` in an order in which classes take turns, as far as they reach."""
    by_class, counts = labels.argsort(stable=True), labels.bincount()
    begins = counts.cumsum(0) - counts  # of each class, in `by_class`
    turns = torch.arange(len(labels)) - begins[labels[by_class]]
    return by_class[turns.argsort(stable=True)]


def _against_equal_shares(classes: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    counts = torch.bincount(classes, minlength=len(names)).double()
    expected = len(classes) / len(names)
    return {
        "shares": dict(zip(names, (counts / len(classes)).tolist(), strict=True)),
        "least": float(counts.min() / expected),
        "most": float(counts.max() / expected),
        "chi_squared": float(((counts - expected) ** 2 / expected).sum()),
    }


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Distances to the nearest training image: pixels in [0, 1], Euclidean."""

    of_generated: Tensor  # (N,)
    of_test: Tensor
    places: Tensor  # (N,) which training image is nearest to each generated one
    mirrored: bool  # whether its mirror image counts as well

    @property
    def told(self) -> dict[str, float | bool]:
        """Medians, and the share of generated images closer than all but 1 % of test images."""
        close = self.of_test.quantile(CLOSE)
        return {
            "median_generated": float(self.of_generated.median()),
            "median_test": float(self.of_test.median()),
            "share_as_close_as_1_percent_of_test": float(
                (self.of_generated < close).double().mean()
            ),
            "mirrored_too": self.mirrored,
        }


def neighbours(
    generated: Tensor, train: Tensor, test: Tensor, *, mirrored: bool = False
) -> Neighbours:
    """Nearest training images of generated and of test images, by their pixels.

    `mirrored`: whether training mirrored its images; then a mirrored one is a copy as well.
    """
    search = _nearest_mirrored if mirrored else nearest
    (of_generated, places), (of_test, _) = search(generated, train), search(test, train)
    return Neighbours(of_generated / WHITE, of_test / WHITE, places, mirrored)


def _nearest_mirrored(pixels: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Mirroring the few is mirroring the many: distances are the same."""
    plain, places = nearest(pixels, train)
    other, other_places = nearest(pixels.flip(-1), train)
    return torch.minimum(plain, other), torch.where(other < plain, other_places, places)
