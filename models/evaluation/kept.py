"""Features of real images, kept from one evaluation for the next: no model changes them.

A file's name is the hash of all that decides what is in it, our code and torch's version included:
it is found or not, never stale, and may be deleted at any time.
"""

import hashlib
import inspect
import json
import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from models import pixels as conversion
from models.evaluation import classifier, extractor
from models.evaluation.extractor import Extractor, Features

CODE = (classifier, extractor, conversion)


@dataclass(frozen=True)
class Kept:
    """An extractor that looks at images once; `folder` takes 0.5 kB an image of 64 features."""

    extract: Extractor
    folder: Path
    device: str  # rounds in its own way

    def __call__(self, images: Tensor) -> Features:
        """Of uint8 (N, C, H, W). Raises ClassifierError as the extractor does."""
        path = self.folder / f"{self._key(images)}.npz"
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                return Features(*(torch.from_numpy(arrays[name]) for name in arrays.files))
        except (OSError, EOFError, ValueError, BadZipFile):  # not there, or damaged
            found = self.extract(images)
            _keep(path, found)
            return found

    def _key(self, images: Tensor) -> str:
        told = [self.extract.told, images.shape, self.device, torch.__version__]
        code = [inspect.getsource(module) for module in CODE]
        decides = hashlib.sha256(json.dumps([told, code]).encode())
        decides.update(images.contiguous().numpy().data)  # the buffer itself, no copy
        return decides.hexdigest()


def _keep(path: Path, found: Features) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"values": found.values.numpy()}
    if found.classes is not None:
        arrays["classes"] = found.classes.numpy()
    staged = path.with_suffix(f".{os.getpid()}.part")
    with staged.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    staged.replace(path)
