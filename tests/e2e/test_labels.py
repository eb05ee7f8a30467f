"""A model that was trained by class, over HTTP."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
import torch
from PIL import Image

from models.checkpoint import save_checkpoint
from models.schedule import linear_schedule
from models.unet import UNet
from tests.app.api_process import ApiProcess
from tests.conftest import RedisServer, Workers
from tests.e2e.test_http import pixels, read, submit
from tests.models.tiny import tiny_config


@pytest.fixture(scope="module")
def classes_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, three classes and none."""
    torch.manual_seed(0)
    folder, config = tmp_path_factory.mktemp("models") / "classes", tiny_config(num_class_embeds=4)
    card = {"labels": ["shirt", "shoe", "bag"]}
    save_checkpoint(folder, config, UNet(config).state_dict(), linear_schedule(), card=card)
    return folder


@pytest.fixture
def client(
    redis_server: RedisServer, workers: Workers, classes_model: Path
) -> Iterator[httpx2.Client]:
    workers.start(classes_model)
    with ApiProcess.start(redis_server.url) as api, api.client() as client:
        client.timeout = 90
        yield client


def test_each_image_shows_its_label_and_says_so(client: httpx2.Client) -> None:
    assert client.get("/v1/models/classes").json()["labels"] == ["shirt", "shoe", "bag"]
    each = submit(client, n=3, seed=5, sampler="dpmpp-2m", labels=["shoe", 0, "shoe"], guidance=2.0)
    images = pixels(client, each)
    assert [image["label"] for image in read(client, each)["images"]] == ["shoe", "shirt", "shoe"]
    shoes = submit(client, n=3, seed=5, sampler="dpmpp-2m", labels=["shoe"], guidance=2.0)
    same = pixels(client, shoes)
    assert [same[i] == images[i] for i in range(3)] == [True, False, True]
    plain = submit(client, n=1, seed=5, sampler="dpmpp-2m")
    assert pixels(client, plain)[0] != images[0]
    assert read(client, plain)["images"][0]["label"] is None


def test_a_png_tells_its_label_and_guidance(client: httpx2.Client) -> None:
    job = submit(client, seed=5, sampler="dpmpp-2m", labels=["bag"], guidance=1.5)
    pixels(client, job)
    png = client.get(read(client, job)["images"][0]["url"]).content
    text = Image.open(BytesIO(png)).info
    recipe = json.loads(text["denoised"])
    assert (recipe["label"], recipe["guidance"]) == ("bag", 1.5)
    assert "bag, guidance 1.5" in text["parameters"]
