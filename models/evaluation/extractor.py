"""What turns images into features: a classifier of ours, or Inception from a local file.

The same image has the same features whoever asks; the file's sha256 stands in every report.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from models.evaluation.classifier import ClassifierError, Trained, classify, load_classifier

ROWS = 100  # images at a time
RGB = 3


@dataclass(frozen=True, eq=False)
class Features:
    """Of N images: float64 (N, D), and the class each is taken for, int64 (N,), if it says so.

    Raises ClassifierError for values that are not finite: there is no distance between such.
    """

    values: Tensor
    classes: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.values.isfinite().all():
            raise ClassifierError("extractor: gives features that are not finite")

    def __getitem__(self, rows: slice) -> "Features":
        return Features(self.values[rows], None if self.classes is None else self.classes[rows])


class Extractor(Protocol):
    """Reads uint8 (N, C, H, W). `told` is what a report says of it."""

    classes: tuple[str, ...]  # empty where it names none

    def __call__(self, pixels: Tensor) -> Features: ...

    @property
    def told(self) -> dict[str, object]: ...


def extractor_at(path: Path, *, device: str = "cpu") -> Extractor:
    """A folder of `models.train_classifier`, or a TorchScript file. Raises ClassifierError."""
    if path.is_dir():
        return ByClassifier(load_classifier(path), path.resolve().name, device)
    return ByScript(path, device)


def expect_features(extract: Extractor, pixels: Tensor) -> None:
    """Raises ClassifierError where it cannot look at such images: at two, to know it early."""
    extract(pixels[:2])


class ByClassifier:
    """The 64 features before a classifier's last layer, and its verdict."""

    def __init__(self, trained: Trained, name: str, device: str) -> None:
        self._net, self._trained, self._name = trained.net.to(device), trained, name
        self.classes = trained.net.kind.classes

    def __call__(self, pixels: Tensor) -> Features:
        """Raises ClassifierError for images of other channels than it was trained on."""
        wanted, given = self._net.kind.channels, pixels.shape[1]
        if given != wanted:
            raise ClassifierError(f"extractor: {self._name} reads {wanted} channels, not {given}")
        return Features(*classify(self._net, pixels))

    @property
    def told(self) -> dict[str, object]:
        """Name, sha256, and how often it is right about test images."""
        accuracy = self._trained.description.get("test_accuracy")
        return {"name": self._name, "sha256": self._trained.sha256, "test_accuracy": accuracy}


class ByScript:
    """`inception-2015-12-05.pt`, as StyleGAN2-ADA publishes it, or any TorchScript like it.

    Called with uint8 (N, 3, H, W) and return_features=True it gives (N, D); the resizing is its own
    business. Grey images are shown as RGB. TorchScript runs no Python, but run only what you trust.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, path: Path, device: str) -> None:
        self._path, self._device = path, device
        try:
            self._sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            self._net = _load_script(path).to(device).eval()
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClassifierError(
                f"{path}: neither a classifier's folder nor a TorchScript file: {reason}"
            ) from error

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Features:
        """Raises ClassifierError where the script will not take them."""
        shown = pixels.expand(-1, RGB, -1, -1) if pixels.shape[1] == 1 else pixels
        try:
            parts = [self._of(part) for part in torch.split(shown, ROWS)]
        except (RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClassifierError(f"{self._path}: gives no features: {reason}") from error
        return Features(torch.cat(parts))

    def _of(self, part: Tensor) -> Tensor:
        found = self._net(part.to(self._device), return_features=True)
        if not isinstance(found, Tensor):
            raise TypeError(f"{type(found).__name__}, not a tensor")
        if found.ndim < 2 or len(found) != len(part):
            raise TypeError(f"{tuple(found.shape)} of {len(part)} images")
        return found.flatten(1).cpu().double()

    @property
    def told(self) -> dict[str, object]:
        """Name and sha256."""
        return {"name": self._path.name, "sha256": self._sha256}


def _load_script(path: Path) -> nn.Module:
    with warnings.catch_warnings():  # deprecated, and the only format that file comes in
        warnings.simplefilter("ignore", DeprecationWarning)
        script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return script
