"""A small convolutional classifier: whose features judge images, and who judges by being trained.

classifier.json           channels, classes, what it was trained on, how often it is right
classifier.safetensors    the weights
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from models.data import batches
from models.faults import one_line
from models.pixels import from_uint8

WIDTHS, FEATURES = (32, 64, 128), 64
BATCH, PEAK_RATE, WEIGHT_DECAY, SMOOTHING, SHIFT = 128, 4e-3, 5e-2, 0.1, 2
DESCRIPTION, WEIGHTS = "classifier.json", "classifier.safetensors"


class ClassifierError(ValueError):
    """The folder holds no classifier that can be read; the message names the file."""


@checked_dataclass(frozen=True, config=ConfigDict(strict=True, extra="ignore"))
class Kind:
    """What a classifier looks at and what it tells apart."""

    channels: Annotated[int, Field(ge=1)]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]


class Classifier(nn.Module):
    """[-1, 1] (B, C, H, W), H and W of 4 at least -> features (B, 64), logits (B, classes)."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        levels = zip((kind.channels, *WIDTHS), WIDTHS, strict=False)
        self.levels = nn.ModuleList(_level(narrow, wide) for narrow, wide in levels)
        self.features = nn.Linear(WIDTHS[-1], FEATURES)
        self.head = nn.Linear(FEATURES, len(kind.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for level in self.levels[:-1]:
            x = F.max_pool2d(level(x), 2)
        features = self.features(self.levels[-1](x).mean(dim=(2, 3)))
        return features, self.head(F.relu(features))


def _level(narrow: int, wide: int) -> nn.Sequential:
    """Two convolutions, each normalised over its batch."""
    layers: list[nn.Module] = []
    for channels in (narrow, wide):
        conv = nn.Conv2d(channels, wide, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier from a folder."""

    net: Classifier
    sha256: str  # of the weights file
    description: dict[str, Any]


def train_classifier(
    images: Tensor, labels: Tensor, kind: Kind, *, steps: int, seed: int = 0, device: str = "cpu"
) -> Iterator[tuple[Classifier, float]]:
    """AdamW on shifted images, labels smoothed, one rise and fall of the learning rate.

    After every step: the network, and the loss. `labels` (N,) number the classes. The rate and the
    shifts follow from `seed`. Raises DataError for fewer images than a batch of 128.
    """
    torch.manual_seed(seed)
    net = Classifier(kind).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, PEAK_RATE, total_steps=steps)
    stream = zip(
        batches(images, batch=BATCH, start=0, seed=seed),
        batches(labels, batch=BATCH, start=0, seed=seed),
        strict=True,
    )
    for _, (pixels, y) in zip(range(steps), stream, strict=False):
        net.train()
        _features, logits = net(_shifted(from_uint8(pixels.to(device))))
        loss = F.cross_entropy(logits, y.to(device), label_smoothing=SMOOTHING)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        rate.step()
        yield net, float(loss.detach())


def _shifted(x: Tensor) -> Tensor:
    """The whole batch by up to SHIFT pixels either way, black coming in."""
    height, width = x.shape[2:]
    top, left = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    padded = F.pad(x, (SHIFT, SHIFT, SHIFT, SHIFT), value=-1.0)
    return padded[:, :, top : top + height, left : left + width]


@torch.inference_mode()
def classify(net: Classifier, pixels: Tensor, *, batch: int = 500) -> tuple[Tensor, Tensor]:
    """uint8 (N, C, H, W) -> features float64 (N, 64), classes int64 (N,), both on the CPU."""
    net.eval()
    device = net.head.weight.device
    parts = [net(from_uint8(part.to(device))) for part in torch.split(pixels, batch)]
    features, logits = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return features.double(), logits.argmax(dim=1)


def accuracy(net: Classifier, pixels: Tensor, labels: Tensor) -> float:
    """The share of images whose class it names."""
    return float((classify(net, pixels)[1] == labels).double().mean())


def save_classifier(folder: Path, net: Classifier, said: dict[str, Any]) -> None:
    """Write the folder; `said` goes into its description."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = save({name: w.cpu().contiguous() for name, w in net.state_dict().items()})
    (folder / WEIGHTS).write_bytes(raw)
    sha256 = hashlib.sha256(raw).hexdigest()
    description = asdict(net.kind) | said | {"sha256": sha256}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def load_classifier(folder: Path) -> Trained:
    """Raises ClassifierError; nothing is executed."""
    try:
        described = (folder / DESCRIPTION).read_text()
        raw = (folder / WEIGHTS).read_bytes()
        net = Classifier(TypeAdapter(Kind).validate_json(described))
        net.load_state_dict(load(raw))
        description = json.loads(described)
    except ValidationError as error:
        raise ClassifierError(f"{folder / DESCRIPTION}: {one_line(error)}") from error
    except (OSError, SafetensorError, RuntimeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ClassifierError(f"{folder}: not a classifier: {reason}") from error
    sha256 = hashlib.sha256(raw).hexdigest()
    if description.get("sha256", sha256) != sha256:
        raise ClassifierError(f"{folder / WEIGHTS}: not the file that {DESCRIPTION} describes")
    return Trained(net.eval(), sha256, description)
