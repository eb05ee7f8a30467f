"""Jobs are followed by events where the service has them, else by polls."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from denoised_client import Client, RetryPolicy, StillRunning

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker, grey_of, picture
from tests.client.conftest import HURRIED, MakeClient
from tests.client.cutting_proxy import CuttingProxy
from tests.conftest import until


def test_events_are_heard_and_go_on_where_they_were_cut(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    job = cut_client.sample(n=3)
    held = worker.begin(job.id)
    worker.commit(held, 0)
    images = job.images()
    assert next(images).getpixel((0, 0)) == grey_of(0)
    proxy.cut_after(0, only="/events")
    worker.commit(held, 1)
    assert next(images).getpixel((0, 0)) == grey_of(1)
    worker.commit(held, 2)
    assert [image.getpixel((0, 0)) for image in images] == [grey_of(2)]
    assert proxy.cuts == 1
    first, second = [head for head in proxy.heads if "/events" in head]
    assert "last-event-id: " not in first.lower()
    assert "last-event-id: " in second.lower()
    assert not [head for head in proxy.heads if "prefer: wait" in head.lower()], "no polls"


def test_a_job_whose_events_are_not_to_be_had_is_polled(
    api: ApiProcess, worker: PlayedWorker
) -> None:
    with Client(api.url) as client:
        job = client.sample(n=2)
        urls = job.snapshot.urls.model_copy(update={"events": "/v1/no-events"})
        job.snapshot = job.snapshot.model_copy(update={"urls": urls})
        held = worker.begin(job.id)
        worker.commit(held, 0)
        images = job.images()
        next(images)
        worker.commit(held, 1)
        assert len(list(images)) == 1


def test_any_number_of_jobs_are_followed_at_once(
    make_client: MakeClient, api: ApiProcess, worker: PlayedWorker
) -> None:
    """Each holds a stream open and fetches a picture beside it."""
    client = make_client(api.url, timeout_s=5, retries=RetryPolicy(retries=0))
    job = client.sample(n=2)
    followed = [client.job(job.id).images() for _ in range(101)]
    held = worker.begin(job.id)
    worker.commit(held, 0)
    assert {next(images).getpixel((0, 0)) for images in followed} == {grey_of(0)}
    worker.commit(held, 1)
    assert {next(images).getpixel((0, 0)) for images in followed} == {grey_of(1)}


def test_the_events_of_a_job_that_is_done_hold_no_connection(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    job = cut_client.sample()
    images = job.images()
    worker.finish(job.id)
    next(images)
    assert job.done
    assert until(lambda: [head for head in proxy.over if "/events" in head], timeout_s=3)


@contextmanager
def hanging(api: ApiProcess) -> Iterator[None]:
    """While the context lasts the service takes connections, and answers none."""
    api.process.send_signal(signal.SIGSTOP)
    os.waitpid(api.process.pid, os.WUNTRACED)
    try:
        yield
    finally:
        api.process.send_signal(signal.SIGCONT)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is in the context takes no longer."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@pytest.mark.parametrize("timeout_s", [0, 2])
@pytest.mark.parametrize("retries", [0, 5])
def test_waiting_for_a_service_that_hangs_ends_with_the_time_given(
    make_client: MakeClient, api: ApiProcess, worker: PlayedWorker, timeout_s: float, retries: int
) -> None:
    client = make_client(api.url, timeout_s=4, retries=RetryPolicy(retries=retries))
    job = client.sample()
    still = f"{job.id} is queued still"
    with hanging(api), within(timeout_s + 2), pytest.raises(StillRunning, match=still):
        job.wait(timeout_s=timeout_s)


def test_no_pause_goes_on_when_the_time_given_is_over(
    make_client: MakeClient, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    patient = RetryPolicy(first_pause_s=8)
    job = make_client(proxy.url, retries=patient).sample()
    proxy.cut_after(0)
    with within(4), pytest.raises(StillRunning):
        job.wait(timeout_s=2)


def test_who_has_no_time_to_wait_asks_once(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    job = cut_client.sample()
    proxy.heads.clear()
    with pytest.raises(StillRunning):
        job.wait(timeout_s=0)
    assert len(proxy.heads) == 1
    worker.finish(job.id)
    assert job.wait(timeout_s=0).status == "succeeded"


def test_a_verification_ends_with_the_time_given(
    make_client: MakeClient, api: ApiProcess, worker: PlayedWorker
) -> None:
    client = make_client(api.url, timeout_s=4, retries=HURRIED)
    with hanging(api), within(3), pytest.raises(StillRunning):
        client.verify(picture(0)[0], timeout_s=1)
