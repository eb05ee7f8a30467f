"""The shipped models through the whole service: their pictures look like what they learned from."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from models.evaluate import CLASSIFIER
from models.evaluation.classifier import classify, load_classifier
from tests.app.api_process import ApiProcess
from tests.conftest import ROOT, SHIPPED_BY_CLASS, SHIPPED_MODEL, RedisServer, Workers, until

Pictures = NDArray[np.float64]  # (N, 784)
JOB = {"n": 32, "seed": 42, "sampler": {"name": "ddim", "steps": 50}}
AS_ASKED = 0.7  # by chance: 0.1
NEAR = 1.15  # times as far from real images as other real images are


@pytest.fixture(scope="module")
def real() -> tuple[Pictures, Pictures, NDArray[np.uint8]]:
    """Known images, others held out, and what the known ones show."""
    archive = np.load(ROOT / "tests" / "data" / "fashion-mnist-512.npz")
    images = archive["images"].reshape(512, -1).astype(np.float64)
    return images[:256], images[256:], archive["labels"][:256]


def distances(pictures: Pictures, known: Pictures) -> Pictures:
    """(N, M) 1 - cosine, about the mean of what is known: blind to brightness, not to shape."""
    mean = known.mean(axis=0)
    return 1.0 - _unit(pictures - mean) @ _unit(known - mean).T


def how_far(pictures: Pictures, known: Pictures, held_out: Pictures) -> float:
    """The mean distance to the nearest known image; 1 is that of real images."""
    nearest = distances(pictures, known).min(axis=1).mean()
    return float(nearest / distances(held_out, known).min(axis=1).mean())


def _unit(rows: Pictures) -> Pictures:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture
def draw(redis_server: RedisServer, workers: Workers) -> Callable[[Path, dict[str, Any]], Pictures]:
    """A job's images, over HTTP, by a model."""

    def drawn(model: Path, asked: dict[str, Any]) -> Pictures:
        workers.start(model, WORKER_THREADS="2")
        with ApiProcess.start(redis_server.url) as api, api.client() as client:
            job = client.post("/v1/jobs", json=asked).raise_for_status().json()
            job = until(lambda: _ended(client, job), timeout_s=240)
            assert (job["status"], len(job["images"])) == ("succeeded", asked["n"])
            return np.stack([_pixels(client.get(image["url"]).content) for image in job["images"]])

    return drawn


def _ended(client: httpx2.Client, job: dict[str, Any]) -> dict[str, Any] | None:
    now: dict[str, Any] = client.get(job["urls"]["self"], headers={"Prefer": "wait=20"}).json()
    return now if now["done"] else None


def _pixels(png: bytes) -> Pictures:
    image = Image.open(io.BytesIO(png))
    assert (image.mode, image.size) == ("L", (28, 28))
    return np.asarray(image, dtype=np.float64).ravel()


def test_the_pictures_are_garments(
    draw: Callable[[Path, dict[str, Any]], Pictures],
    real: tuple[Pictures, Pictures, NDArray[np.uint8]],
) -> None:
    drawn = draw(SHIPPED_MODEL, JOB)
    known, held_out, labels = real
    assert how_far(drawn, known, held_out) < NEAR
    assert len({labels[i] for i in distances(drawn, known).argmin(axis=1)}) >= 7, "of ten kinds"
    among = distances(drawn, drawn) + np.eye(len(drawn))
    assert among.min() > 0.01, "no two are the same"


@pytest.mark.parametrize(
    "how",
    [{"sampler": "dpmpp-2m"}, {"sampler": {"name": "ddim", "steps": 20}, "guidance": 3}],
    ids=["by label alone", "guided"],
)
def test_by_class_they_are_what_was_asked_for(
    draw: Callable[[Path, dict[str, Any]], Pictures], how: dict[str, Any]
) -> None:
    """As a classifier sees it that learned from real ones."""
    judge = load_classifier(CLASSIFIER)
    asked = {"n": 30, "seed": 42, "labels": 3 * list(judge.net.kind.classes), **how}
    drawn = draw(SHIPPED_BY_CLASS, asked)
    images = torch.from_numpy(drawn.astype(np.uint8)).reshape(-1, 1, 28, 28)
    _, seen = classify(judge.net, images)
    assert (seen == torch.arange(30) % 10).float().mean() > AS_ASKED


@pytest.mark.parametrize("spoil", ["noise", "texture", "scrambled", "halves", "speckled"])
def test_the_measure_tells_garments_from_what_is_none(
    real: tuple[Pictures, Pictures, NDArray[np.uint8]], spoil: str
) -> None:
    known, held_out, _ = real
    random, whole = np.random.default_rng(0), held_out[:64]
    spoilers: dict[str, Callable[[], Pictures]] = {
        "noise": lambda: random.uniform(0, 255, whole.shape),
        "texture": lambda: np.stack([_with_random_phases(image, random) for image in whole]),
        "scrambled": lambda: random.permuted(whole, axis=1),
        "halves": lambda: np.where(np.arange(784) % 28 < 14, whole, held_out[64:128]),
        "speckled": lambda: whole * random.uniform(0, 1.5, whole.shape),
    }
    assert how_far(spoilers[spoil](), known, held_out) > NEAR


def _with_random_phases(image: Pictures, random: np.random.Generator) -> Pictures:
    """The image's spectrum, and so its texture, without its shape."""
    noise = np.fft.fft2(random.standard_normal((28, 28)))
    spectrum = np.abs(np.fft.fft2(image.reshape(28, 28))) * noise / np.abs(noise)
    return np.asarray(np.clip(np.fft.ifft2(spectrum).real, 0, 255).ravel())
