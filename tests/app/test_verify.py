"""POST /v1/verify: what is taken from a file, what it is held against, and what is refused."""

import base64
import hashlib
import json
from typing import Any

import pytest
from httpx2 import Response
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from redis import Redis
from starlette.testclient import TestClient

from protocol.job_store import Commit
from protocol.messages import ImageManifest
from tests.app import pngs
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit

PICTURE = pngs.image("L")
SHA256 = hashlib.sha256(PICTURE.tobytes()).hexdigest()
SAMPLER = {
    "name": "ddim",
    "steps": 50,
    "eta": 0.0,
    "spacing": "leading",
    "variance": None,
    "clip": 1.0,
}
RECIPE: dict[str, Any] = {
    "model": "tiny",
    "model_sha256": "a" * 64,
    "engine": "engine-1",
    "precision": "float32",
    "mode": "eager",
    "seed": 42,
    "index": 7,
    "sampler": SAMPLER,
    "task": "sample",
    "scale": 1,
    "pixels_sha256": SHA256,
}


def made(picture: Image.Image = PICTURE, /, **changes: Any) -> bytes:
    """A file as a worker would have written it, with changes to what it tells."""
    return with_text(json.dumps(RECIPE | changes), picture)


def with_text(text: str, picture: Image.Image = PICTURE) -> bytes:
    info = PngInfo()
    info.add_text("parameters", "a shoe")
    info.add_text("denoised", text)
    return pngs.file(picture, pnginfo=info)


def ask(client: TestClient, png: bytes, **headers: str) -> Response:
    return client.post("/v1/verify", content=png, headers={"Content-Type": "image/png", **headers})


def accepted(client: TestClient, png: bytes) -> dict[str, Any]:
    response = ask(client, png)
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def sampled_again(
    client: TestClient, worker: PlayedWorker, png: bytes, picture: Image.Image = PICTURE
) -> dict[str, Any]:
    """The verification once a worker has made this picture of it."""
    job = accepted(client, png)
    held = worker.begin(job["id"])
    file = pngs.file(picture)
    scale = held.request.output.scale
    pixels = picture.resize((8, 8), Image.Resampling.NEAREST).tobytes()
    manifest = ImageManifest(
        index=held.request.first_index,
        pixels_sha256=hashlib.sha256(pixels).hexdigest(),
        bytes=len(file),
        width=8 * scale,
        height=8 * scale,
    )
    worker.images.put(held, manifest.index, file)
    verdict = worker.store.commit_image(held, manifest, steps_in_flight=0)
    assert verdict is Commit.COMMITTED
    verification: dict[str, Any] = client.get(job["urls"]["self"]).json()["verification"]
    return verification


def altered(by: int) -> Image.Image:
    """The picture with one pixel changed by so many levels."""
    pixels = bytearray(PICTURE.tobytes())
    pixels[10] += by
    return Image.frombytes("L", (8, 8), bytes(pixels))


def test_the_job_makes_that_one_image_again(client: TestClient, worker: PlayedWorker) -> None:
    response = ask(client, made())
    job = response.json()
    assert response.headers["location"] == job["urls"]["self"]
    assert (job["task"], job["status"]) == ("verify", "queued")
    request = job["request"]
    assert (request["task"], request["n"], request["first_index"]) == ("sample", 1, 7)
    assert (request["seed"], request["sampler"], request["model"]) == (42, SAMPLER, "tiny")
    assert job["verification"] == {
        "result": None,
        "reason": None,
        "largest_difference": None,
        "pixels_sha256": SHA256,
        "engine": "engine-1",
        "model_sha256": "a" * 64,
    }
    assert submit(client, **request)["request"] == request, "what is echoed can be sent again"
    assert submit(client)["verification"] is None


def test_a_file_may_travel_in_json(client: TestClient, worker: PlayedWorker) -> None:
    text = base64.encodebytes(made()).decode()
    response = client.post("/v1/verify", json={"image": text})
    assert response.status_code == 202
    assert response.json()["request"]["first_index"] == 7


def test_a_file_sent_again_under_the_same_key_is_the_same_job_in_whichever_form(
    client: TestClient, worker: PlayedWorker
) -> None:
    key = {"Idempotency-Key": "k"}
    first = ask(client, made(), **key)
    text = base64.b64encode(made()).decode()
    again = client.post("/v1/verify", json={"image": text}, headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json() == first.json()
    problem(ask(client, made(seed=43), **key), 422, "idempotency_key_reused")


def test_equal_pixels_match(client: TestClient, worker: PlayedWorker) -> None:
    verification = sampled_again(client, worker, made())
    assert (verification["result"], verification["largest_difference"]) == ("match", 0)
    assert verification["reason"] is None


def test_other_pixels_differ_by_so_many_levels(client: TestClient, worker: PlayedWorker) -> None:
    verification = sampled_again(client, worker, made(), altered(by=5))
    assert (verification["result"], verification["largest_difference"]) == ("differs", 5)
    assert "same engine" in verification["reason"]


def test_a_file_that_was_edited_differs_and_is_told_so(
    client: TestClient, worker: PlayedWorker
) -> None:
    edited = made(altered(by=9))
    verification = sampled_again(client, worker, edited)
    assert (verification["result"], verification["largest_difference"]) == ("differs", 9)
    assert "changed after" in verification["reason"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"engine": "0123456789abcdef"}, "0123456789abcdef"), ({"model_sha256": "b" * 64}, "b" * 64)],
)
@pytest.mark.parametrize("by", [0, 1])
def test_what_another_engine_or_other_weights_made_cannot_be_compared(
    client: TestClient, worker: PlayedWorker, changes: dict[str, str], words: str, by: int
) -> None:
    verification = sampled_again(client, worker, made(**changes), altered(by=by))
    assert (verification["result"], verification["largest_difference"]) == ("not_comparable", by)
    assert words in verification["reason"]


def test_it_waits_for_the_engine_that_made_it_if_that_lives(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    PlayedWorker(redis, name="2nd", engine="engine-2").announce()
    here = accepted(client, made(engine="engine-2"))
    assert here["engine"] == "engine-2"
    taken = worker.store.begin_shard(
        here["id"], 0, run="r", engine="engine-1", model_sha256="a" * 64
    )
    assert taken == "elsewhere"
    gone = accepted(client, made(engine="engine-3"))
    assert gone["engine"] is None, "nobody waits for who is not there"


def test_an_image_that_was_written_larger_is_held_at_its_own_size(
    client: TestClient, worker: PlayedWorker
) -> None:
    def large(picture: Image.Image) -> Image.Image:
        return picture.resize((24, 24), Image.Resampling.NEAREST)

    png = made(large(PICTURE), scale=3)
    assert sampled_again(client, worker, png, large(PICTURE))["result"] == "match"
    other = sampled_again(client, worker, png, large(altered(by=3)))
    assert (other["result"], other["largest_difference"]) == ("differs", 3)
    painted = large(PICTURE)
    painted.putpixel((1, 0), 200)
    body = problem(ask(client, made(painted, scale=3)), 422, "invalid_image")
    assert "3 x 3" in body["errors"][0]["detail"]


def test_a_label_is_asked_for_again(client: TestClient, redis: Redis, worker: PlayedWorker) -> None:
    model = worker.model.model_copy(update={"name": "classy", "labels": ("shoe", "coat")})
    PlayedWorker(redis, model, name="2nd").announce()
    request = accepted(client, made(model="classy", label="coat", guidance=2.5))["request"]
    assert (request["labels"], request["guidance"]) == (["coat"], 2.5)


def test_in_a_list_it_is_a_job_like_others(client: TestClient, worker: PlayedWorker) -> None:
    job = accepted(client, made())
    (item,) = client.get("/v1/jobs").json()["data"]
    assert (item["id"], item["task"]) == (job["id"], "verify")


REFUSED = [
    ({"task": "variations", "t": 5, "image": "0" * 64}, "/task", "images that the file"),
    ({"task": "likelihood"}, "/task", "sample"),
    ({"model": "nope"}, "/model", "known: tiny"),
    ({"model": 3}, "/model", "string"),
    ({"model_sha256": "a"}, "/model_sha256", "match"),
    ({"engine": "a b"}, "/engine", "match"),
    ({"seed": 2**53}, "/seed", "less"),
    ({"seed": "42"}, "/seed", "integer"),
    ({"seed": None}, "/seed", "integer"),
    ({"index": -1}, "/index", "greater"),
    ({"sampler": "ddim"}, "/sampler", "object"),
    ({"sampler": {**SAMPLER, "steps": 1001}}, "/sampler/steps", "T = 1000"),
    ({"sampler": {**SAMPLER, "eta": None}}, "/sampler", "all of its settings"),
    ({"sampler": {**SAMPLER, "name": "ddpm"}}, "/sampler/eta", "ddpm has no eta"),
    ({"sampler": {"name": "ddim"}}, "/sampler", "all of its settings"),
    ({"label": "shoe"}, "/label", "knows no labels"),
    ({"scale": 17}, "/scale", "less"),
    ({"pixels_sha256": None}, "/pixels_sha256", "string"),
    ({"new": 1}, "/new", "no such field"),
]


@pytest.mark.parametrize(("changes", "pointer", "words"), REFUSED, ids=str)
def test_what_a_file_tells_is_not_trusted(
    client: TestClient,
    worker: PlayedWorker,
    redis: Redis,
    changes: dict[str, Any],
    pointer: str,
    words: str,
) -> None:
    before = set(redis.keys("*"))
    body = problem(ask(client, made(**changes)), 422, "invalid_image")
    assert pointers(body) == [f"/image/denoised{pointer}"]
    assert words in body["errors"][0]["detail"]
    assert set(redis.keys("*")) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 30_000, "not JSON"),
        (f'{{"seed": {"9" * 5000}}}', "not JSON"),
        ("[]", "no JSON object"),
        (" " * 70_000, "65536"),
    ],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_no_recipe_is_refused(
    client: TestClient, worker: PlayedWorker, text: str, words: str
) -> None:
    body = problem(ask(client, with_text(text)), 422, "invalid_image")
    assert pointers(body) == ["/image/denoised"]
    assert words in body["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("png", "words"),
    [
        (b"", "no PNG"),
        (b"x" * 100, "no PNG"),
        (pngs.file(PICTURE, "jpeg"), "JPEG"),
        (pngs.file(PICTURE), "not made here"),
        (made()[:-5], "truncated"),
        (made()[:60] + b"x" + made()[61:], "checksum"),
        (pngs.with_chunk(made(), b"tEXt", b"denoised\0{}"), "2 text chunks"),
        (made(PICTURE.resize((9, 9))), "8 x 8"),
        (made(scale=2), "16 x 16"),
        (made(PICTURE.convert("RGB")), "grey"),
    ],
    ids=range(10),
)
def test_a_file_that_was_not_made_here_is_refused(
    client: TestClient, worker: PlayedWorker, png: bytes, words: str
) -> None:
    body = problem(ask(client, png), 422, "invalid_image")
    assert pointers(body) == ["/image"]
    assert words in body["errors"][0]["detail"]
    encoded = client.post("/v1/verify", json={"image": pngs.text(png)})
    assert problem(encoded, 422, "invalid_image")["errors"] == body["errors"]


@pytest.mark.parametrize(
    ("body", "status", "code", "at"),
    [
        (b"", 400, "malformed_json", None),
        (b"{", 400, "malformed_json", None),
        (b"\xff", 400, "malformed_json", None),
        (b"[" * 100_000, 400, "malformed_json", None),
        (b'{"image": %s}' % (b"1" * 5000), 400, "malformed_json", None),
        (b"[]", 422, "invalid_request", [""]),
        (b"{}", 422, "invalid_request", ["/image"]),
        (b'{"image": 1}', 422, "invalid_request", ["/image"]),
        (b'{"image": "AAAA", "n": 2}', 422, "invalid_request", ["/n"]),
        (b'{"image": "not base64!"}', 422, "invalid_image", ["/image"]),
    ],
)
def test_a_body_that_holds_no_file_is_refused(
    client: TestClient, worker: PlayedWorker, body: bytes, status: int, code: str, at: Any
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = problem(client.post("/v1/verify", content=body, headers=headers), status, code)
    assert at is None or pointers(answer) == at


def test_other_kinds_of_bodies_are_not_taken(client: TestClient, worker: PlayedWorker) -> None:
    response = ask(client, made(), **{"Content-Type": "image/jpeg"})
    body = problem(response, 415, "unsupported_media_type")
    assert "image/png" in body["detail"]
    large = ask(client, bytes(8 * 2**20 + 1))
    problem(large, 413, "body_too_large")
    assert pointers(problem(client.post("/v1/verify?x=1"), 422, "invalid_request")) == ["/x"]


def test_without_a_worker_it_waits_or_is_refused(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    worker.leave()
    problem(ask(client, made(), Prefer="handling=strict"), 503, "no_worker")
    assert accepted(client, made())["progress"]["queue_position"] == 0
    redis.flushall()
    problem(ask(client, made()), 503, "no_worker")


def test_who_waits_is_answered_with_the_result(client: TestClient, worker: PlayedWorker) -> None:
    response = ask(client, made(), Prefer="wait=0")
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait"
