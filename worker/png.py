"""A finished image as a PNG file that says how to make it again."""

import hashlib
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from protocol.messages import ImageManifest, JobRequest
from worker.row import Pixels


def encode(
    pixels: Pixels, index: int, request: JobRequest, provenance: dict[str, str]
) -> tuple[bytes, ImageManifest]:
    """uint8 (H, W, C) -> PNG file and manifest; tEXt `parameters` to read, `denoised` to re-run.

    The sha256 is of the pixels before scaling: they are what is promised, the file is not.
    """
    pixels = np.ascontiguousarray(pixels)  # waits, where they are still on their way
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    scale = request.output.scale
    scaled = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    record = {
        **provenance,
        "seed": request.seed,
        "index": index,
        "sampler": request.sampler.model_dump(),
        **_origin(request, index),
        "scale": scale,
        "pixels_sha256": sha256,
    }
    file = io.BytesIO()
    image = _image(scaled)
    image.save(file, "png", pnginfo=_text(record))
    png = file.getvalue()
    return png, ImageManifest(
        index=index,
        pixels_sha256=sha256,
        bytes=len(png),
        width=image.width,
        height=image.height,
        label=request.label_of(index),
    )


def sheet(images: Sequence[Pixels]) -> bytes:
    """Images of one size, uint8 (H, W, C), side by side as one PNG: as square as can be."""
    columns = math.ceil(math.sqrt(len(images)))
    blank = np.zeros_like(np.asarray(images[0]))
    padded = [*images, *[blank] * (-len(images) % columns)]
    rows = [np.concatenate(padded[i : i + columns], 1) for i in range(0, len(padded), columns)]
    file = io.BytesIO()
    _image(np.concatenate(rows)).save(file, "png")
    return file.getvalue()


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _origin(request: JobRequest, index: int) -> dict[str, Any]:
    """What it was to show; what its chain started from, by the pixels' hashes, and where."""
    origin: dict[str, Any] = {"task": request.task}
    if request.sources:
        hashes = {name: source.pixels_sha256 for name, source in request.sources.items()}
        origin |= {"t": request.t, **hashes}
    label = request.label_of(index)
    if label is not None:
        origin |= {"label": label, "guidance": request.guidance}
    if request.task == "interpolate":
        origin["lambda"] = request.lambda_of(index)
    return origin


def _text(record: dict[str, Any]) -> PngInfo:
    sampler = record["sampler"]
    words = [
        record["model"],
        f"{sampler['name']} {sampler['steps']} steps",
        f"seed {record['seed']}",
        f"image {record['index']}",
    ]
    if "label" in record:
        words.append(f"{record['label']}, guidance {record['guidance']:g}")
    if "t" in record:
        words.append(f"{record['task']} from t = {record['t']}")
    if "lambda" in record:
        words.append(f"lambda = {record['lambda']:g}")
    info = PngInfo()
    info.add_text("parameters", ", ".join(words))
    info.add_text("denoised", json.dumps(record, separators=(",", ":")))
    return info
