"""Jobs are followed by events where the service has them, else by polls."""

from typing import Any

from denoised_client import Client

from tests.app.api_process import ApiProcess
from tests.app.played_worker import PlayedWorker, grey_of
from tests.client.cutting_proxy import CuttingProxy


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
