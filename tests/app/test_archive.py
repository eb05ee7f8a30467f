"""archive.zip: what is in it, that it can be resumed, and that it costs no memory."""

import io
import json
import zipfile
from typing import Any

import httpx2
import pytest
from redis import Redis
from starlette.testclient import TestClient

from app import archive
from protocol import keys
from protocol.messages import ImageManifest
from tests.app.api_process import ApiProcess
from tests.app.checks import pointers, problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit


def opened(content: bytes) -> zipfile.ZipFile:
    read = zipfile.ZipFile(io.BytesIO(content))
    assert read.testzip() is None
    return read


def lines(read: zipfile.ZipFile) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read.read("manifest.jsonl").splitlines()]


def test_an_archive_has_every_image_and_their_list(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=40, first_index=7)
    worker.finish(job["id"])
    response = client.get(job["urls"]["archive"])
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{job["id"]}.zip"'
    assert int(response.headers["content-length"]) == len(response.content)
    read = opened(response.content)
    names = [f"{index:06d}.png" for index in range(7, 47)]
    assert read.namelist() == ["manifest.jsonl", *names]
    assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}
    images = client.get(job["urls"]["self"]).json()["images"]
    for line, image, name in zip(lines(read), images, names, strict=True):
        url = image.pop("url")
        assert line == {"file": name, **image}
        assert read.read(name) == client.get(url).content


def test_the_same_archive_is_the_same_bytes(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=5)
    worker.finish(job["id"])
    first, second = (client.get(job["urls"]["archive"]) for _ in range(2))
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    same = {"If-None-Match": first.headers["etag"]}
    again = client.get(job["urls"]["archive"], headers=same)
    assert (again.status_code, again.content) == (304, b"")


def test_from_an_index_on_it_is_an_archive_of_the_rest(
    client: TestClient, worker: PlayedWorker
) -> None:
    job = submit(client, n=5, first_index=10)
    worker.finish(job["id"])
    url = job["urls"]["archive"]
    whole = client.get(url)
    rest = client.get(f"{url}?from_index=13")
    assert [line["index"] for line in lines(opened(rest.content))] == [13, 14]
    assert rest.headers["etag"] != whole.headers["etag"]
    assert client.get(f"{url}?from_index=3").content == whole.content
    body = problem(client.get(f"{url}?from_index=15"), 404, "image_not_found")
    assert "15" in body["detail"]


def test_of_a_running_job_it_has_what_is_finished(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=9)
    url = job["urls"]["archive"]
    problem(client.get(url), 404, "image_not_found")
    held = worker.begin(job["id"])
    for index in (8, 2):
        worker.commit(held, index)
    before = client.get(url)
    assert opened(before.content).namelist() == ["manifest.jsonl", "000002.png", "000008.png"]
    worker.commit(held, 5)
    after = client.get(url)
    assert opened(after.content).namelist()[2] == "000005.png"
    assert after.headers["etag"] != before.headers["etag"]


def test_it_is_made_of_batches_of_any_size(
    client: TestClient, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(client, n=30)
    worker.finish(job["id"])
    whole = client.get(job["urls"]["archive"]).content
    monkeypatch.setattr(archive, "WINDOW", 7)
    for most_images, most_bytes in [(1, 10**6), (4, 10**6), (100, 200), (100, 1)]:
        monkeypatch.setattr(archive, "BATCH_IMAGES", most_images)
        monkeypatch.setattr(archive, "BATCH_BYTES", most_bytes)
        assert client.get(job["urls"]["archive"]).content == whole


def test_a_part_of_it_can_be_fetched(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=20)
    worker.finish(job["id"])
    url = job["urls"]["archive"]
    whole = client.get(url)
    size = len(whole.content)
    for start, stop in [(0, 1), (30, size), (size // 2, size // 2 + 500), (size - 22, size)]:
        part = client.get(url, headers={"Range": f"bytes={start}-{stop - 1}"})
        assert part.status_code == 206
        assert part.content == whole.content[start:stop]
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert int(part.headers["content-length"]) == stop - start
    resumed = {"Range": "bytes=100-", "If-Range": whole.headers["etag"]}
    assert client.get(url, headers=resumed).content == whole.content[100:]
    changed = client.get(url, headers=resumed | {"If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    beyond = client.get(url, headers={"Range": f"bytes={size}-"})
    problem(beyond, 416, "range_not_satisfiable")


def test_head_tells_how_long_it_is(client: TestClient, worker: PlayedWorker) -> None:
    job = submit(client, n=3)
    url = job["urls"]["archive"]
    assert client.head(url).status_code == 404
    worker.finish(job["id"])
    whole, head = client.get(url), client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("query", ["from_index=-1", "from_index=x", "from=3"])
def test_a_query_that_cannot_be_meant_is_refused(
    client: TestClient, worker: PlayedWorker, query: str
) -> None:
    job = submit(client)
    body = problem(client.get(f"{job['urls']['archive']}?{query}"), 422, "invalid_request")
    assert pointers(body) == [f"/{query.partition('=')[0]}"]


def test_an_archive_that_loses_its_images_breaks_off(
    api: ApiProcess, worker: PlayedWorker, redis: Redis
) -> None:
    """Never a shorter file that looks whole."""
    with api.client() as client:
        job = client.post("/v1/jobs", json={"n": 3}).json()
        worker.finish(job["id"])
        redis.hdel(keys.png_prefix(job["id"]) + "0", "2")
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(job["urls"]["archive"])


def test_five_thousand_images_are_sent_in_constant_memory(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    """They come to 100 MB; the process, interpreter and all, stays under 150 at its peak."""
    n, png = 5000, bytes(20_000)
    with api.client() as client:
        job = client.post("/v1/jobs", json={"n": n, "sampler": "ddim"}).json()
        held = worker.begin(job["id"])
        for index in range(n):
            worker.images.put(held, index, png)
            manifest = ImageManifest(
                index=index, pixels_sha256="0" * 64, bytes=len(png), width=8, height=8
            )
            worker.store.commit_image(held, manifest, steps_in_flight=0)
        with client.stream("GET", job["urls"]["archive"]) as response:
            expected = int(response.headers["content-length"])
            received = sum(len(chunk) for chunk in response.iter_bytes())
        assert received == expected > n * len(png)
        assert api.peak_mib() < 150
