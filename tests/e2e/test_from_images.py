"""Variations and interpolations, as a client asks for them, drawn by a real worker."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.app.api_process import ApiProcess
from tests.conftest import RedisServer, Workers
from tests.e2e.test_http import pixels, read, submit

DDPM_20 = {"name": "ddpm", "steps": 20}


@pytest.fixture
def client(
    redis_server: RedisServer, workers: Workers, tiny_model: Path
) -> Iterator[httpx2.Client]:
    workers.start(tiny_model)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        client.timeout = 90
        yield client


def test_from_a_small_t_an_image_comes_back_nearly_as_it_was(client: httpx2.Client) -> None:
    source = submit(client, n=1, seed=1, sampler="ddim")
    (before,) = pixels(client, source).values()
    image = {"job": source["id"], "index": 0}
    near = submit(client, task="variations", image=image, t=1, seed=5)
    (after,) = pixels(client, near).values()
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= 12
    far = submit(client, task="variations", image=image, t=1000, seed=5, sampler=DDPM_20)
    (other,) = pixels(client, far).values()
    assert max(abs(a - b) for a, b in zip(before, other, strict=True)) > 60


def test_a_set_of_variations_can_be_extended(client: httpx2.Client) -> None:
    png = BytesIO()
    Image.linear_gradient("L").resize((8, 8)).save(png, "png")
    body: dict[str, Any] = {
        "task": "variations",
        "image": base64.b64encode(png.getvalue()).decode(),
        "t": 300,
        "seed": 9,
        "sampler": DDPM_20,
    }
    whole = pixels(client, submit(client, **body, n=40))
    more = pixels(client, submit(client, **body, n=2, first_index=37))
    assert more == {37: whole[37], 38: whole[38]}
    assert len(set(whole.values())) == 40


def test_an_interpolation_ends_in_its_images_variations(client: httpx2.Client) -> None:
    source = submit(client, n=2, seed=1, sampler="ddim")
    pixels(client, source)
    a, b = ({"job": source["id"], "index": index} for index in (0, 1))
    common = {"t": 500, "seed": 3, "sampler": DDPM_20}
    path = submit(client, task="interpolate", image_a=a, image_b=b, n=5, **common)
    images = pixels(client, path)
    assert len(set(images.values())) == 5
    start = submit(client, task="variations", image=a, **common)
    assert pixels(client, start)[0] == images[0]
    half = submit(client, task="interpolate", image_a=a, image_b=b, lambdas=[0.5], **common)
    assert pixels(client, half)[0] == images[2]


def test_a_png_tells_what_it_was_made_from(client: httpx2.Client) -> None:
    source = submit(client, n=2, seed=1, sampler="ddim")
    pixels(client, source)
    hashes = [image["pixels_sha256"] for image in read(client, source)["images"]]
    a, b = ({"job": source["id"], "index": index} for index in (0, 1))
    job = submit(
        client, task="interpolate", image_a=a, image_b=b, t=5, n=3, sampler={"name": "ddpm"}
    )
    pixels(client, job)
    png = client.get(read(client, job)["images"][1]["url"]).content
    text = Image.open(BytesIO(png)).info
    recipe = json.loads(text["denoised"])
    assert (recipe["task"], recipe["t"], recipe["lambda"]) == ("interpolate", 5, 0.5)
    assert [recipe["image_a"], recipe["image_b"]] == hashes
    assert "interpolate from t = 5, lambda = 0.5" in text["parameters"]
