"""Files: whole or not there, fetched once, never in the place of another image."""

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest
from denoised_client import DamagedImage, JobFailed
from PIL import Image

from tests.app.played_worker import PlayedWorker, picture
from tests.client.cutting_proxy import CuttingProxy


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_images_are_saved_by_index_and_never_fetched_twice(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy, tmp_path: Path
) -> None:
    job = cut_client.sample(n=3, first_index=9)
    worker.finish(job.id)
    paths = job.save(tmp_path / "new" / "out")
    assert [path.name for path in paths] == ["000009.png", "000010.png", "000011.png"]
    assert paths[0].read_bytes() == picture(9)[0]
    assert (paths[0].stat().st_mode & 0o777) == 0o666 & ~_umask()

    paths[1].unlink()
    others = {path: path.stat().st_mtime_ns for path in paths if path.exists()}
    proxy.heads.clear()
    assert cut_client.job(job.id).save(tmp_path / "new" / "out") == paths
    assert {path: path.stat().st_mtime_ns for path in others} == others
    [fetched] = [head for head in proxy.heads if ".png" in head]
    assert "/images/10.png" in fetched
    assert names(tmp_path / "new" / "out") == ["000009.png", "000010.png", "000011.png"]


def test_images_are_saved_while_the_job_runs_and_what_a_failed_one_finished_stays(
    client: Any, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = client.sample(n=3)
    held = worker.begin(job.id)
    worker.commit(held, 1)
    worker.fail(job.id)
    with pytest.raises(JobFailed):
        job.save(tmp_path)
    assert names(tmp_path) == ["000001.png"]


def test_another_image_is_not_overwritten_unless_that_is_asked_for(
    client: Any, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = client.sample(n=2)
    worker.finish(job.id)
    mine = tmp_path / "000001.png"
    Image.new("L", (8, 8), 0).save(mine)
    before = mine.read_bytes()
    with pytest.raises(FileExistsError, match="000001"):
        job.save(tmp_path)
    assert mine.read_bytes() == before
    job.save(tmp_path, overwrite=True)
    assert mine.read_bytes() == picture(1)[0]


def test_scaled_images_are_known_by_their_pixels_before_scaling(
    client: Any, worker: PlayedWorker, tmp_path: Path
) -> None:
    """The played worker does not scale: so the right sum is of an image half the size."""
    job = client.sample(n=1, output={"scale": 2})
    held = worker.begin(job.id)
    png, manifest = picture(0)
    worker.images.put(held, 0, png)
    sha256 = hashlib.sha256(b"\x01" * 16).hexdigest()
    scaled = manifest.model_copy(update={"pixels_sha256": sha256})
    worker.store.commit_image(held, scaled, steps_in_flight=0)
    assert [path.read_bytes() for path in job.save(tmp_path)] == [png]
    assert len(list(job.images())) == 1


def test_a_damaged_image_is_neither_shown_nor_saved(
    client: Any, worker: PlayedWorker, tmp_path: Path
) -> None:
    job = client.sample(n=2)
    held = worker.begin(job.id)
    worker.commit(held, 0)
    png, manifest = picture(1)
    cut = manifest.model_copy(update={"bytes": 50})
    worker.images.put(held, 1, png[:50])
    worker.store.commit_image(held, cut, steps_in_flight=0)
    images = job.images()
    next(images)
    with pytest.raises(DamagedImage):
        next(images)
    with pytest.raises(DamagedImage):
        job.save(tmp_path)
    assert names(tmp_path) == ["000000.png"]


def test_an_image_of_other_pixels_than_are_listed_is_damaged(
    client: Any, worker: PlayedWorker
) -> None:
    job = client.sample(n=1)
    held = worker.begin(job.id)
    other = picture(0)[1].model_copy(update={"pixels_sha256": "0" * 64})
    worker.images.put(held, 0, picture(0)[0])
    worker.store.commit_image(held, other, steps_in_flight=0)
    with pytest.raises(DamagedImage, match="0" * 64):
        next(job.images())


def test_more_images_than_a_job_lists_come_as_an_archive_that_goes_on_where_it_was_cut(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy, tmp_path: Path
) -> None:
    job = cut_client.sample(n=1100)
    worker.finish(job.id)
    job = cut_client.job(job.id)
    archive = httpx2.get(proxy.url + job.snapshot.urls.archive).content
    list_bytes = archive.index(b"PK\x03\x04", 4)  # the archive's own list comes first
    proxy.heads.clear()
    proxy.cut_after(list_bytes + 40_000, list_bytes, only="archive")
    paths = job.save(tmp_path)
    assert proxy.cuts == 2
    assert [path.read_bytes() for path in paths] == [picture(index)[0] for index in range(1100)]
    fetched = [head for head in proxy.heads if ".png" in head or "archive" in head]
    assert len(fetched) == 3
    begun = [int(head.partition("from_index=")[2].split()[0]) for head in fetched]
    assert begun[0] == 0 < begun[1] < begun[2] < 1100


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
