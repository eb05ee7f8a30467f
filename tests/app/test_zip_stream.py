"""ZIP files that others can read, of any size, and as long as their layout says."""

import io
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from app.zip_stream import Layout, ZipStream

GIB = 2**30


def stream(members: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    zip_stream = ZipStream()
    for name, data in members:
        yield zip_stream.header(name, size_bytes=len(data), crc32=zlib.crc32(data))
        yield data
    yield from zip_stream.end()


def layout(members: Iterable[tuple[str, int]]) -> Layout:
    made = Layout()
    for name, size_bytes in members:
        made.add(name, size_bytes)
    return made


@pytest.mark.parametrize("count", [0, 1, 3, 65_534, 65_535, 65_536])
def test_what_was_put_in_comes_out(count: int) -> None:
    members = [(f"{i:06d}.png", b"%d" % i * (i % 3)) for i in range(count)]
    whole = b"".join(stream(members))
    assert len(whole) == layout((name, len(data)) for name, data in members).size_bytes
    assert (b"PK\6\6" in whole[-98:]) == (count >= 65_535), "ZIP64 where it is needed"
    with zipfile.ZipFile(io.BytesIO(whole)) as read:
        assert [info.filename for info in read.infolist()] == [name for name, _ in members]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in read.infolist())
        for name, data in members[:3] + members[-3:]:
            assert read.read(name) == data
        assert count > 10 or read.testzip() is None


def test_members_may_begin_beyond_four_gib(tmp_path: Path) -> None:
    """In a file with holes: no byte of the large ones is written."""
    file = tmp_path / "large.zip"
    sizes = [("a", 3 * GIB), ("b", 3 * GIB), ("c", 4)]
    zip_stream = ZipStream()
    with file.open("wb") as sparse:
        for name, size_bytes in sizes[:2]:
            sparse.write(zip_stream.header(name, size_bytes=size_bytes, crc32=0))
            sparse.seek(size_bytes, io.SEEK_CUR)
        sparse.write(zip_stream.header("c", size_bytes=4, crc32=zlib.crc32(b"last")) + b"last")
        sparse.writelines(zip_stream.end())
    assert file.stat().st_size == layout(sizes).size_bytes > 6 * GIB
    with zipfile.ZipFile(file) as read:
        assert [(info.filename, info.file_size) for info in read.infolist()] == sizes
        assert read.read("c") == b"last"


def test_info_zip_finds_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "some.zip"
    file.write_bytes(b"".join(stream([("manifest.jsonl", b"{}\n"), ("000000.png", bytes(99))])))
    try:
        told = subprocess.run(["unzip", "-t", file], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    assert told.returncode == 0, told.stdout
    assert "No errors detected" in told.stdout
