"""A finished image as a PNG file that says how to make it again."""

import hashlib
import io
import json
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
        "scale": scale,
        "pixels_sha256": sha256,
    }
    file = io.BytesIO()
    image = Image.fromarray(scaled[..., 0] if scaled.shape[-1] == 1 else scaled)
    image.save(file, "png", pnginfo=_text(record))
    png = file.getvalue()
    return png, ImageManifest(
        index=index, pixels_sha256=sha256, bytes=len(png), width=image.width, height=image.height
    )


def _text(record: dict[str, Any]) -> PngInfo:
    sampler = record["sampler"]
    info = PngInfo()
    info.add_text(
        "parameters",
        f"{record['model']}, {sampler['name']} {sampler['steps']} steps, "
        f"seed {record['seed']}, image {record['index']}",
    )
    info.add_text("denoised", json.dumps(record, separators=(",", ":")))
    return info
