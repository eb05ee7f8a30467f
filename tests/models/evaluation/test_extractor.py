"""Features from a classifier of ours, and from a TorchScript file that an operator brings."""

import hashlib
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.evaluation.classifier import ClassifierError, Kind, load_classifier
from models.evaluation.extractor import extractor_at
from tests.models.evaluation.test_classifier import saved


class Means(nn.Module):
    """Called as StyleGAN's Inception is: the mean of each of three channels, twice."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        means = x.float().mean(dim=[2, 3])
        return torch.cat([means, 2.0 * means], dim=1)


class Silent(nn.Module):
    """Knows nothing of features."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Pair(nn.Module):
    """Gives two things."""

    def forward(self, x: Tensor, return_features: bool = False) -> tuple[Tensor, Tensor]:
        return x.float(), x.float()


class Total(nn.Module):
    """Gives one number for an image."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        return x.float().sum(dim=[1, 2, 3])


class Overflows(nn.Module):
    """Its features are not finite."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        return x.float().mean(dim=[2, 3]) * float("inf")


def scripted(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
    return path


def noise(channels: int, count: int = 5) -> Tensor:
    return torch.randint(0, 256, (count, channels, 6, 6)).to(torch.uint8)


def test_a_classifier_gives_features_and_says_what_it_takes_images_for(tmp_path: Path) -> None:
    saved(tmp_path / "garments", Kind(1, ("a", "b", "c")))
    extract = extractor_at(tmp_path / "garments")
    found = extract(noise(1))
    assert found.values.shape == (5, 64)
    assert found.classes is not None
    assert set(found.classes.tolist()) <= {0, 1, 2}
    assert extract.classes == ("a", "b", "c")
    assert extract.told == {
        "name": "garments",
        "sha256": load_classifier(tmp_path / "garments").sha256,
        "test_accuracy": 0.5,
    }


def test_images_of_other_channels_are_no_food_for_a_classifier(tmp_path: Path) -> None:
    saved(tmp_path / "garments", Kind(1, ("a", "b")))
    with pytest.raises(ClassifierError, match="garments reads 1 channels, not 3"):
        extractor_at(tmp_path / "garments")(noise(3))


def test_a_script_gives_features_of_colour_images_and_of_grey_ones_as_such(tmp_path: Path) -> None:
    path = scripted(tmp_path / "inception.pt", Means())
    extract, grey = extractor_at(path), noise(1, 230)
    found = extract(grey)
    means = grey.double().mean(dim=(1, 2, 3))
    assert torch.allclose(found.values, means[:, None] * torch.tensor([1, 1, 1, 2, 2, 2.0]))
    assert found.values.dtype == torch.float64
    assert (found.classes, extract.classes) == (None, ())
    colours = noise(3)
    assert torch.allclose(extract(colours).values[:, :3], colours.double().mean(dim=(2, 3)))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert extract.told == {"name": "inception.pt", "sha256": sha256}


def test_a_script_that_gives_no_features_is_named(tmp_path: Path) -> None:
    for module, reason in ((Silent(), "forward"), (Pair(), "tuple"), (Total(), "[(]5,[)]")):
        path = scripted(tmp_path / "silent.pt", module)
        with pytest.raises(ClassifierError, match=f"silent.pt: gives no features: {reason}"):
            extractor_at(path)(noise(3))


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = scripted(tmp_path / "overflows.pt", Overflows())
    with pytest.raises(ClassifierError, match="extractor: gives features that are not finite"):
        extractor_at(path)(noise(3))


@pytest.mark.parametrize("content", [b"", b"no script", None])
def test_what_is_neither_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "thing.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClassifierError, match="thing.pt: neither a classifier") as refused:
        extractor_at(path)
    assert "\n" not in str(refused.value)
