"""The pictures, alone and as a contact sheet."""

import io

import pytest
from PIL import Image
from redis import Redis
from starlette.testclient import TestClient

from protocol import keys
from tests.app.checks import pointers, problem
from tests.app.played_worker import SIDE, PlayedWorker, grey_of
from tests.app.test_jobs import submit


def tiles(png: bytes) -> tuple[tuple[int, int], list[int]]:
    """How many across and down, and the grey of each."""
    sheet = Image.open(io.BytesIO(png))
    across, down = sheet.width // SIDE, sheet.height // SIDE
    pixels = sheet.tobytes()
    corners = [(y * SIDE, x * SIDE) for y in range(down) for x in range(across)]
    return (across, down), [pixels[y * sheet.width + x] for y, x in corners]


def test_an_image_is_a_png_that_never_changes(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client)
    png = worker.commit(worker.begin(job["id"]), 0)
    url = f"{job['urls']['self']}/images/0.png"
    response = client.get(url)
    assert response.content == png
    assert response.headers["content-type"] == "image/png"
    assert "immutable" in response.headers["cache-control"]
    etag = response.headers["etag"]
    assert etag == f'"{client.get(job["urls"]["self"]).json()["images"][0]["pixels_sha256"]}"'
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = client.get(url, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(url, headers={"If-None-Match": '"x"'}).status_code == 200


def test_an_image_not_there_says_whether_it_could_be(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=2, first_index=5)
    url = job["urls"]["self"]
    unfinished = problem(client.get(f"{url}/images/5.png"), 404, "image_not_found")
    assert "queued" in unfinished["detail"]
    never = problem(client.get(f"{url}/images/0.png"), 404, "image_not_found")
    assert "5 to 6" in never["detail"]
    problem(client.get(f"{url}/grid.png"), 404, "image_not_found")


@pytest.mark.parametrize(
    ("query", "shape"),
    [("", (3, 2)), ("?columns=2", (2, 3)), ("?columns=5", (5, 1)), ("?columns=100", (5, 1))],
)
def test_a_contact_sheet_is_in_order_and_about_square(
    client: TestClient, worker: PlayedWorker, query: str, shape: tuple[int, int]
) -> None:
    job = submit(client, n=5, first_index=3)
    worker.finish(job["id"])
    response = client.get(job["urls"]["grid"] + query)
    assert response.headers["content-type"] == "image/png"
    across_down, greys = tiles(response.content)
    assert across_down == shape
    assert greys[:5] == [grey_of(index) for index in range(3, 8)]


def test_a_contact_sheet_shows_what_there_is(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=5)
    held = worker.begin(job["id"])
    for index in (4, 1):
        worker.commit(held, index)
    assert tiles(client.get(job["urls"]["grid"]).content) == ((2, 1), [grey_of(1), grey_of(4)])


@pytest.mark.parametrize("columns", ["0", "101", "x", "1.5", ""])
def test_columns_are_a_number_a_sheet_can_have(
    client: TestClient, worker: PlayedWorker, columns: str
) -> None:
    job = submit(client)
    response = client.get(f"{job['urls']['grid']}?columns={columns}")
    assert pointers(problem(response, 422, "invalid_request")) == ["/columns"]


def test_results_past_their_time_are_gone_and_then_the_record_and_then_the_memory(
    client: TestClient, worker: PlayedWorker, redis: Redis
) -> None:
    job = submit(client, ttl_s=60)
    url = job["urls"]["self"]
    worker.finish(job["id"])
    assert 0 < redis.ttl(keys.images(job["id"])) <= 60

    redis.hincrbyfloat(keys.job(job["id"]), "expires_at", -61)  # as if the minute had passed
    expired = client.get(url).json()
    assert (expired["status"], expired["done"], expired["images"]) == ("expired", True, [])
    assert expired["images_truncated"] is False
    for path in ("/images/0.png", "/grid.png"):
        problem(client.get(url + path), 410, "expired")

    redis.delete(keys.job(job["id"]))  # as if a week had passed
    for path in ("", "/images/0.png", "/grid.png"):
        problem(client.get(url + path), 410, "expired")

    redis.delete(keys.tombstone(job["id"]))  # as if a month had passed
    problem(client.get(url), 404, "job_not_found")
