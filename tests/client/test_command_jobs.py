"""What becomes of jobs whose command is interrupted, refused, or cannot save them."""

import signal
from pathlib import Path

import pytest
from denoised_client import Client

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker
from tests.client.command import begun, denoised
from tests.client.cutting_proxy import CuttingProxy


@pytest.mark.parametrize(
    ("options", "status"), [([], "queued"), (["--cancel-on-interrupt"], "canceled")]
)
def test_ctrl_c_is_status_130_and_leaves_the_job_unless_told_to_cancel_it(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, options: list[str], status: str
) -> None:
    with begun(api.url, "sample", *options) as process:
        assert process.stderr is not None
        job_id = process.stderr.readline().split()[0]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert job_id in rest
    assert "Traceback" not in rest
    assert onlooker.job(job_id).status == status


def test_an_interrupted_job_whose_canceling_is_not_answered_is_told_of(
    proxy: CuttingProxy, worker: PlayedWorker
) -> None:
    once = "--retries", "0"
    with begun(proxy.url, *once, "sample", "--cancel-on-interrupt") as process:
        assert process.stderr is not None
        job_id = process.stderr.readline().split()[0]
        proxy.cut_after(0, only="/cancel")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert proxy.cuts == 1
    assert process.returncode == 130
    assert f"no answer to canceling {job_id}" in rest
    assert f"denoised cancel {job_id}" in rest
    assert "Traceback" not in rest


@pytest.mark.parametrize("folder", ["under-a-file", "/proc"])
def test_nothing_is_queued_for_a_folder_that_cannot_be_written(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, tmp_path: Path, folder: str
) -> None:
    """/proc: nobody may write there, not even root."""
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out" if folder == "under-a-file" else Path(folder)
    ended = denoised(api.url, "sample", "-o", out)
    assert (ended.status, ended.out) == (2, "")
    assert str(out) in ended.err
    assert list(onlooker.jobs()) == []


def test_a_job_whose_images_cannot_be_saved_is_told_of(
    api: ApiProcess, onlooker: Client, worker: PlayedWorker, tmp_path: Path
) -> None:
    (tmp_path / "000000.png").write_text("mine")
    with begun(api.url, "sample", "-n", "2", "-o", tmp_path) as process:
        assert process.stderr is not None
        job_id = process.stderr.readline().split()[0]
        worker.commit(worker.begin(job_id), 0)
        rest = process.stderr.read()
    assert process.returncode == 2
    assert "000000.png is another image" in rest
    assert f"denoised cancel {job_id}" in rest
    assert f"denoised download {job_id}" in rest


@pytest.mark.parametrize(("word", "status"), [("cancel", "canceled"), ("delete", None)])
def test_a_refusal_keeps_no_other_job_from_being_done(
    proxy: CuttingProxy, onlooker: Client, worker: PlayedWorker, word: str, status: str | None
) -> None:
    first, last = onlooker.sample().id, onlooker.sample().id
    proxy.heads.clear()
    ended = denoised(proxy.url, word, first, "job_unknown", last)
    assert ended.status == 3
    assert "job_unknown" in ended.err
    assert last in ended.out + ended.err
    left = {job.id: job.status for job in onlooker.jobs()}
    assert left == ({first: status, last: status} if status else {})
    if word == "delete":
        assert [head.split()[0] for head in proxy.heads] == ["DELETE"] * 3
