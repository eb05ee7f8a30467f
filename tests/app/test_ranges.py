"""Parts of a file, and what a client says that it has already (RFC 9110, 13 and 14)."""

import pytest
from starlette.testclient import TestClient

from app.ranges import cut
from tests.app.checks import problem
from tests.app.played_worker import PlayedWorker
from tests.app.test_jobs import submit


@pytest.fixture
def url(client: TestClient, worker: PlayedWorker) -> str:
    """Of a finished image."""
    job = submit(client)
    worker.finish(job["id"])
    found: str = client.get(job["urls"]["self"]).json()["images"][0]["url"]
    return found


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=8-15", slice(8, 16)),
        ("bytes=10-", slice(10, None)),
        ("bytes=10-999999", slice(10, None)),
        ("bytes=-4", slice(-4, None)),
        ("bytes=-999999", slice(None)),
        ("Bytes= 0 - 3 ", slice(0, 4)),
    ],
)
def test_one_range_is_sent(client: TestClient, url: str, asked: str, part: slice) -> None:
    whole = client.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    response = client.get(url, headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == whole.content[part]
    start, stop, _ = part.indices(len(whole.content))
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole.content)}"
    assert int(response.headers["content-length"]) == stop - start
    assert response.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,3-4",
        "bytes=5-2",
        "bytes=-",
        "bytes=a-b",
        "bytes",
        "lines=0-1",
        f"bytes={'9' * 30}-",
        "",
    ],
)
def test_what_is_not_one_range_of_bytes_gets_the_whole(
    client: TestClient, url: str, asked: str
) -> None:
    response = client.get(url, headers={"Range": asked})
    assert response.status_code == 200
    assert response.content == client.get(url).content


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=999999-9999999", "bytes=-0"])
def test_a_range_beyond_the_end_cannot_be_satisfied(
    client: TestClient, url: str, asked: str
) -> None:
    response = client.get(url, headers={"Range": asked})
    problem(response, 416, "range_not_satisfiable")
    size = len(client.get(url).content)
    assert response.headers["content-range"] == f"bytes */{size}"


def test_a_range_counts_only_while_the_file_is_the_one_it_was_asked_of(
    client: TestClient, url: str
) -> None:
    etag = client.get(url).headers["etag"]
    for if_range, status in [
        (etag, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Tue, 24 Nov 2026 00:00:00 GMT", 200),
    ]:
        headers = {"Range": "bytes=0-3", "If-Range": if_range}
        assert client.get(url, headers=headers).status_code == status
    both = {"Range": "bytes=0-3", "If-None-Match": etag}
    assert client.get(url, headers=both).status_code == 304, "the first condition goes first"


def test_head_is_get_without_the_body(client: TestClient, url: str) -> None:
    whole = client.get(url)
    head = client.head(url, headers={"Range": "bytes=0-3"})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "cache-control", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    assert client.head(url.replace("/0.png", "/1.png")).status_code == 404


@pytest.mark.parametrize("span", [range(10), range(3), range(2, 7), range(4, 5), range(9, 10)])
def test_a_cut_through_chunks_is_a_cut_through_their_bytes(span: range) -> None:
    chunks = [b"0", b"", b"1234", b"56", b"789"]
    assert b"".join(cut(chunks, span)) == b"0123456789"[span.start : span.stop]


def test_no_chunk_behind_a_cut_is_asked_for() -> None:
    chunks = iter([b"01", b"23", b"45"])
    assert b"".join(cut(chunks, range(1, 4))) == b"123"
    assert next(chunks) == b"45"
