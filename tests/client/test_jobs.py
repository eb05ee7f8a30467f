"""A job from start to end, for callers that block and for those that await."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from denoised_client import (
    Expired,
    InvalidRequest,
    JobCanceled,
    JobFailed,
    NotFound,
    StillRunning,
    Unavailable,
    calls,
)
from PIL import Image
from redis import Redis

from tests.app.api_process import ApiProcess
from tests.app.played_worker import SIDE, PlayedWorker, grey_of, picture
from tests.client.conftest import MakeClient


def greys(images: list[Image.Image]) -> list[Any]:
    return [image.getpixel((0, 0)) for image in images]


def test_a_job_is_asked_for_waited_for_and_looked_at(client: Any, worker: PlayedWorker) -> None:
    job = client.sample(n=3, seed=7, first_index=5, sampler="ddim", metadata={"for": "me"})
    assert (job.status, job.done, job.seed, job.n) == ("queued", False, 7, 3)
    assert job.metadata == {"for": "me"}
    worker.finish(job.id)
    assert job.wait().status == "succeeded"
    pictures = list(job.images())
    assert greys(pictures) == [grey_of(5), grey_of(6), grey_of(7)]
    assert pictures[0].size == (SIDE, SIDE)
    assert job.image(6).getpixel((0, 0)) == grey_of(6)
    assert job.grid(columns=3).size == (3 * SIDE, SIDE)
    assert isinstance(job.expires_at, datetime)


def test_images_come_while_the_job_runs_in_order_of_index(
    client: Any, worker: PlayedWorker
) -> None:
    job = client.sample(n=3)
    held = worker.begin(job.id)
    worker.commit(held, 2)
    worker.commit(held, 0)
    images = job.images()
    assert next(images).getpixel((0, 0)) == grey_of(0)
    assert not job.done
    worker.commit(held, 1)
    assert greys(list(images)) == [grey_of(1), grey_of(2)]
    assert job.status == "succeeded"


def test_a_failed_job_raises_why_after_what_it_had_finished(
    client: Any, worker: PlayedWorker
) -> None:
    job = client.sample(n=2)
    worker.commit(worker.begin(job.id), 1)
    worker.fail(job.id)
    with pytest.raises(JobFailed, match="worker_lost|three times") as failed:
        job.wait()
    assert failed.value.code == "worker_lost"
    assert failed.value.error is not None
    assert failed.value.error.detail == "three times"
    images = job.images()
    assert next(images).getpixel((0, 0)) == grey_of(1)
    with pytest.raises(JobFailed):
        next(images)


def test_a_canceled_job_raises_that_it_was(client: Any, worker: PlayedWorker) -> None:
    job = client.sample(n=2)
    assert job.cancel().status == "canceled"
    with pytest.raises(JobCanceled):
        job.wait()


def test_waiting_ends_with_the_time_given_and_the_job_goes_on(
    client: Any, worker: PlayedWorker
) -> None:
    job = client.sample()
    with pytest.raises(StillRunning):
        job.wait(timeout_s=0.5)
    assert client.job(job.id).status == "queued"


def test_a_job_is_found_by_its_id_and_refreshed(client: Any, worker: PlayedWorker) -> None:
    job = client.sample(n=1)
    same = client.job(job.id)
    worker.finish(job.id)
    assert same.status == "queued"
    assert same.refresh().status == "succeeded"


def test_models_are_told(client: Any, worker: PlayedWorker) -> None:
    [model] = client.models()
    assert model == client.model("tiny")
    assert (model.name, model.image_size_px, model.T) == ("tiny", SIDE, 1000)
    assert [sampler.name for sampler in model.samplers] == ["ddpm", "ddim", "dpmpp-2m"]
    assert model.workers[0].device == "paper"


def test_a_refusal_carries_its_code_fields_and_problem(client: Any, worker: PlayedWorker) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.sample(n=4, sampler={"name": "ddim", "steps": 5000})
    error = refused.value
    assert (error.status, error.code) == (422, "invalid_request")
    assert [fault.pointer for fault in error.errors] == ["/sampler/steps"]
    assert error.problem["title"] == "Invalid request"
    assert error.request_id
    with pytest.raises(NotFound) as unknown:
        client.job("job_01a20a4c05d9739da8f33c18de31a656")
    assert unknown.value.code == "job_not_found"


def test_who_would_rather_not_wait_for_a_worker_is_refused_at_once(
    client: Any, worker: PlayedWorker
) -> None:
    worker.leave()
    with pytest.raises(Unavailable) as refused:
        client.sample(strict=True)
    assert refused.value.code == "no_worker"


def test_an_expired_job_says_so(client: Any, worker: PlayedWorker, redis: Redis) -> None:
    job = client.sample()
    worker.finish(job.id)
    images = client.job(job.id).images()
    redis.hset(f"denoised:job:{job.id}", "expires_at", 1.0)
    with pytest.raises(Expired):
        next(images)


@pytest.mark.parametrize("given", ["picture", "bytes", "path", "text", "of_a_job"])
def test_variations_start_from_any_form_of_an_image(
    client: Any, worker: PlayedWorker, tmp_path: Path, given: str
) -> None:
    job = client.sample(n=4)
    worker.finish(job.id)
    png, manifest = picture(3)
    file = tmp_path / "three.png"
    file.write_bytes(png)
    forms = {
        "picture": Image.open(io.BytesIO(png)),
        "bytes": png,
        "path": file,
        "text": str(file),
        "of_a_job": job.source(3),
    }
    varied = client.variations(image=forms[given], t=500, n=2)
    assert varied.request["image"]["pixels_sha256"] == manifest.pixels_sha256
    between = client.interpolate(image_a=forms[given], image_b=job.source(0), t=9, lambdas=[0.5])
    assert between.request["image_a"]["pixels_sha256"] == manifest.pixels_sha256
    assert between.n == 1


def test_a_filter_by_what_is_no_text_is_by_its_json(client: Any, worker: PlayedWorker) -> None:
    odd = {"none": None, "yes": True, "list": {"é": [1, "ü"]}}
    job = client.sample(metadata=odd)
    client.sample()
    for name, value in odd.items():
        assert [found.id for found in client.jobs(metadata={name: value})] == [job.id], name


def test_what_a_job_tells_of_its_request_can_be_asked_for_again(
    client: Any, worker: PlayedWorker
) -> None:
    job = client.sample(n=4)
    worker.finish(job.id)
    varied = client.variations(image={"job": job.id, "index": 3}, t=500, n=2)
    between = client.interpolate(image_a=job.source(3), image_b=job.source(0), t=9, lambdas=[0.5])
    assert client.sample(**job.request).request == job.request
    assert client.variations(**varied.request).request == varied.request
    assert client.submit(**between.request).request == between.request
    assert client.dry_run(**varied.request).request == varied.request


def test_a_bar_is_shown_where_it_is_asked_for_and_not_where_there_is_no_terminal(
    client: Any, worker: PlayedWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    job = client.sample()
    worker.finish(job.id)
    client.job(job.id).wait()
    assert capfd.readouterr() == ("", "")
    client.job(job.id).wait(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "1/1 images" in err


def test_the_address_and_the_key_come_from_the_environment(
    make_client: MakeClient, api: ApiProcess, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISED_URL", api.url + "/")
    assert make_client(None).models()
    for wrong in ("localhost:8000", "ftp://localhost"):
        with pytest.raises(ValueError, match="http://"):
            make_client(wrong)
    monkeypatch.setenv("DENOISED_API_KEY", "two words")
    with pytest.raises(ValueError, match="API key") as refused:
        make_client(api.url)
    assert "two words" not in str(refused.value)


def test_jobs_are_listed_page_by_page_and_their_images_are_still_to_be_had(
    client: Any, worker: PlayedWorker
) -> None:
    made = [client.sample(metadata={"set": str(number % 2)}).id for number in range(5)]
    worker.finish(made[2])
    assert [job.id for job in client.jobs()] == made[::-1]
    assert [job.id for job in client.jobs(metadata={"set": "0"})] == [made[4], made[2], made[0]]
    [job] = client.jobs(status=["succeeded", "failed"], model="tiny")
    assert job.id == made[2]
    assert greys(list(job.images())) == [grey_of(0)]
    assert list(client.jobs(model="other")) == []


def test_more_jobs_than_a_page_has_are_all_listed(
    client: Any, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [client.sample().id for _ in range(5)]
    monkeypatch.setattr(calls, "PAGE_SIZE", 2)
    assert [job.id for job in client.jobs()] == made[::-1]


def test_a_deleted_job_is_gone(client: Any, worker: PlayedWorker) -> None:
    job = client.sample()
    job.delete()
    with pytest.raises(NotFound):
        client.job(job.id)


def test_a_job_is_deleted_by_its_id(client: Any, worker: PlayedWorker) -> None:
    job = client.sample()
    client.delete(job.id)
    with pytest.raises(NotFound):
        client.delete(job.id)


def test_a_dry_run_tells_the_cost_and_queues_nothing(client: Any, worker: PlayedWorker) -> None:
    would_be = client.dry_run(n=3, seed=5, sampler="ddim")
    assert would_be.request["seed"] == 5
    assert would_be.cost.steps == 150
    assert list(client.jobs()) == []


def test_a_file_that_was_not_made_here_is_not_verified(client: Any, worker: PlayedWorker) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.verify(picture(0)[0])
    assert refused.value.code == "invalid_image"
