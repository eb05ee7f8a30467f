"""What cannot be sent is refused here, before anything is."""

from collections.abc import Callable
from typing import Any

import pytest
from denoised_client import DenoisedError, NotFound, Unsendable

from tests.app.played_worker import PlayedWorker
from tests.client.conftest import MakeClient
from tests.client.cutting_proxy import CuttingProxy

SURROGATE = "\udcff"


@pytest.mark.parametrize(
    "url", ["http://localhost:abc", "http://[::1", "http://", "http://host:99999", "http://a..b"]
)
def test_a_url_that_is_none_is_refused_at_once(make_client: MakeClient, url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a service"):
        make_client(url)


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda client: client.sample(guidance=float("nan")), "^guidance: "),
        (lambda client: client.sample(sampler={"name": "ddim", "eta": float("inf")}), "^sampler: "),
        (lambda client: client.sample(metadata={"for": SURROGATE}), "^metadata: "),
        (lambda client: client.dry_run(seed=10**5000), "^seed: "),
        (lambda client: client.sample(idempotency_key=""), "idempotency key"),
        (lambda client: client.sample(idempotency_key="Größe"), "idempotency key"),
        (lambda client: client.sample(idempotency_key="two\nlines"), "idempotency key"),
        (lambda client: list(client.jobs(model=SURROGATE)), "^model: "),
        (lambda client: list(client.jobs(status=[])), "^status: one of none"),
        (lambda client: list(client.jobs(metadata={"for": ()})), "^metadata.for: one of none"),
        (lambda client: list(client.jobs(metadata={"for": 1j})), "^metadata.for: "),
        (lambda client: client.variations(image=b"".join, t=1), "^image: .* not builtin_function"),
        (lambda client: client.job("x" * 70_000), "URL"),
    ],
)
def test_what_cannot_be_written_is_not_sent(
    cut_client: Any, proxy: CuttingProxy, ask: Callable[[Any], object], complaint: str
) -> None:
    with pytest.raises(Unsendable, match=complaint) as refused:
        ask(cut_client)
    assert isinstance(refused.value, DenoisedError)
    assert proxy.heads == []


def test_a_job_whose_id_is_no_text_is_not_found(client: Any, worker: PlayedWorker) -> None:
    with pytest.raises(NotFound):
        client.job(f"job_{SURROGATE}")
