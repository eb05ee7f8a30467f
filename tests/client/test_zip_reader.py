"""Archives are read while they arrive, whatever the pieces they arrive in."""

import io
import zipfile

import pytest
from denoised_client.errors import UnexpectedAnswer
from denoised_client.zip_reader import ZipReader

FILES = {f"{index:06}.png": bytes([index]) * index for index in range(40)}


def archive(compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name, content in FILES.items():
            written.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("piece_bytes", [1, 29, 30, 31, 1000, 10**6])
def test_files_are_given_in_whatever_pieces_they_come(piece_bytes: int) -> None:
    reader, data = ZipReader(), archive()
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    assert dict(found for piece in pieces for found in reader.feed(piece)) == FILES


def test_a_cut_archive_gives_its_whole_files_and_no_part_of_the_next() -> None:
    data = archive()
    cut = data.index(FILES["000020.png"]) + 5
    assert list(ZipReader().feed(data[:cut])) == list(FILES.items())[:20]


def test_a_damaged_file_is_found_out() -> None:
    data = bytearray(archive())
    data[data.index(FILES["000020.png"])] ^= 1
    with pytest.raises(UnexpectedAnswer, match="000020"):
        list(ZipReader().feed(bytes(data)))


def test_a_deflated_archive_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer, match="stored"):
        list(ZipReader().feed(archive(zipfile.ZIP_DEFLATED)))
