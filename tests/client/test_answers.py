"""Answers of services older, newer and other than ours, and of proxies in between."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from denoised_client import ApiError, TooManyRequests, Unavailable, UnexpectedAnswer
from denoised_client.calls import path_of
from denoised_client.connection import Connection
from denoised_client.resources import JobSnapshot

from tests.app.played_worker import PlayedWorker
from tests.client.canned_service import Canned, CannedService
from tests.client.conftest import HURRIED, MakeClient
from tests.conftest import ROOT

NO_MODELS = Canned(200, b'{"object": "list", "data": []}')
PROBLEM = {"Content-Type": "application/problem+json"}
IMPORT_ALL = """\
import importlib, pkgutil, denoised_client
for module in pkgutil.walk_packages(denoised_client.__path__, "denoised_client."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_a_refusal_that_passes_is_tried_again(make_client: MakeClient) -> None:
    limited = Canned(429, b'{"code": "rate_limited"}', {"Retry-After": "0", **PROBLEM})
    with CannedService.giving(limited, Canned(503), Canned(502), NO_MODELS) as service:
        assert make_client(service.url, retries=HURRIED).models() == []
    assert service.asked == ["/v1/models"] * 4


def test_a_refusal_that_takes_longer_than_we_are_patient_is_raised(make_client: MakeClient) -> None:
    quota = Canned(429, b'{"code": "quota_exceeded"}', {"Retry-After": "9999", **PROBLEM})
    with CannedService.giving(quota) as service, pytest.raises(TooManyRequests) as refused:
        make_client(service.url).models()
    assert refused.value.code == "quota_exceeded"
    assert refused.value.retry_after_s == 9999


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Canned(502, b"<html>Bad gateway"), Unavailable, "http_502"),
        (Canned(418, b"[]"), ApiError, "http_418"),
        (Canned(400, b'{"code": "odd", "errors": "none"}'), ApiError, "odd"),
        (Canned(200, b"<html>Welcome"), UnexpectedAnswer, "no ModelList"),
        (Canned(200, b'{"data": [{"name": 5}]}'), UnexpectedAnswer, "data/0/name"),
        (Canned(301, b"", {"Location": "https://here"}), UnexpectedAnswer, "https://here"),
    ],
)
def test_what_is_not_of_the_contract_is_told_as_such(
    make_client: MakeClient, answer: Canned, kind: type[Exception], message: str
) -> None:
    with CannedService.giving(*[answer] * 9) as service, pytest.raises(kind, match=message):
        make_client(service.url, retries=HURRIED).models()


def test_what_a_newer_service_adds_is_kept_and_does_no_harm(
    client: Any, worker: PlayedWorker
) -> None:
    now = client.sample().snapshot.model_dump(mode="json")
    newer = {**now, "status": "pondering", "mood": "good", "progress": {**now["progress"], "x": 1}}
    job = JobSnapshot.model_validate(newer)
    assert job.status == "pondering"
    assert job.model_dump(mode="json") == newer
    with pytest.raises(ValueError, match="frozen"):
        job.status = "done"  # type: ignore[misc]


@pytest.mark.parametrize("url", ["http://elsewhere/x", "//elsewhere/x", "ftp:x", None])
def test_a_url_elsewhere_is_not_followed_with_our_key(url: str | None) -> None:
    with pytest.raises(UnexpectedAnswer, match="no path on this service"):
        path_of(url)


def test_a_connection_shows_no_key() -> None:
    assert "dk_secret" not in repr(Connection.of("http://localhost", "dk_secret", 30))


def test_the_client_needs_nothing_of_the_service(tmp_path: Path) -> None:
    """Every module can be imported where there is no `app`, `protocol`, `worker` or `models`."""
    subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "client")},
        check=True,
    )
