"""Lost answers and refusals that pass: retried within bounds, and never a second job."""

import io
import random
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from denoised_client import ApiError, RetryPolicy, Unreachable
from denoised_client.answers import retry_after_s
from denoised_client.errors import NotFound, TooManyRequests, Unavailable
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from redis import Redis

from tests.app.played_worker import PlayedWorker, picture
from tests.client.conftest import MakeClient
from tests.client.cutting_proxy import CuttingProxy

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def jobs_in(redis: Redis) -> int:
    return len({key.split(b":")[2] for key in redis.scan_iter("denoised:job:*")})


def test_a_submission_whose_answer_is_lost_makes_one_job(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy, redis: Redis
) -> None:
    proxy.cut_after(0, 10, 200)
    job = cut_client.sample(n=2, seed=1)
    assert proxy.cuts == 3
    assert jobs_in(redis) == 1
    proxy.cut_after(0)
    assert cut_client.sample(n=2, seed=1).id != job.id
    assert jobs_in(redis) == 2


@pytest.mark.parametrize("key", ["mine", "two words", 'a "quoted" one', "back\\slash"])
def test_a_key_of_the_callers_own_makes_one_job_of_two_calls(
    client: Any, worker: PlayedWorker, redis: Redis, key: str
) -> None:
    jobs = {client.sample(seed=1, idempotency_key=key).id for _ in range(2)}
    assert len(jobs) == jobs_in(redis) == 1


def test_a_picture_whose_download_is_cut_is_not_fetched_from_the_start_again(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    job = cut_client.sample(output={"scale": 16})
    noise = Image.frombytes("L", (128, 128), random.Random(0).randbytes(128 * 128))
    held, file = worker.begin(job.id), io.BytesIO()
    noise.save(file, "png")
    worker.images.put(held, 0, file.getvalue())
    large = {"bytes": len(file.getvalue()), "width": 128, "height": 128}
    manifest = picture(0)[1].model_copy(update=large)
    worker.store.commit_image(held, manifest, steps_in_flight=0)
    proxy.cut_after(10_000)
    assert job.image(0).tobytes() == noise.tobytes()
    assert proxy.cuts == 1
    first, second = [head for head in proxy.heads if ".png" in head]
    assert "\r\nrange:" not in first.lower()
    assert re.search(r"\r\nrange: bytes=\d{4}-\r\n", second.lower())
    assert "\r\nif-range: " in second.lower()


def test_waiting_goes_on_after_a_cut(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy
) -> None:
    job = cut_client.sample()
    proxy.cut_after(0, 5)
    worker.finish(job.id)
    assert job.wait().status == "succeeded"
    assert proxy.cuts == 2


def test_deleting_is_done_when_the_answer_to_it_was_lost(
    cut_client: Any, worker: PlayedWorker, proxy: CuttingProxy, redis: Redis
) -> None:
    job = cut_client.sample()
    proxy.cut_after(0)
    job.delete()
    assert proxy.cuts == 1
    with pytest.raises(NotFound):
        job.refresh()
    with pytest.raises(NotFound):
        job.delete()


def test_a_service_that_stays_away_is_unreachable_after_the_last_retry(
    make_client: MakeClient,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = make_client(f"http://127.0.0.1:{port}", retries=RetryPolicy(retries=1))
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        client.models()


def refused(kind: type[ApiError], status: int, code: str, after_s: float | None) -> ApiError:
    return kind(status, {"code": code}, retry_after_s=after_s)


@given(failures=st.integers(1, 5), chance=st.floats(0, 1), after_s=st.floats(0, 20))
def test_a_retry_is_never_earlier_than_the_service_asks_for(
    failures: int, chance: float, after_s: float
) -> None:
    error = refused(TooManyRequests, 429, "rate_limited", after_s)
    pause_s = RetryPolicy().pause_s(error, failures=failures, paused_s=0, chance=chance)
    assert pause_s is not None
    assert after_s <= pause_s <= after_s * 1.25


def test_pauses_grow_to_a_bound_and_end() -> None:
    policy, error = RetryPolicy(retries=8), Unreachable("gone")
    pauses = [
        policy.pause_s(error, failures=failures, paused_s=0, chance=0) for failures in range(1, 10)
    ]
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8, None]
    assert policy.pause_s(error, failures=1, paused_s=59.9, chance=0) is None


def test_pauses_are_bounded_after_any_number_of_failures() -> None:
    policy = RetryPolicy(retries=10_000, patience_s=1e9)
    error = Unreachable("gone")
    assert policy.pause_s(error, failures=10_000, paused_s=0, chance=0) == 8


@pytest.mark.parametrize(
    "error",
    [
        refused(Unavailable, 503, "no_worker", 1),
        refused(TooManyRequests, 429, "quota_exceeded", 3600),
        refused(ApiError, 500, "internal", None),
        refused(NotFound, 404, "job_not_found", 1),
    ],
    ids=lambda error: error.code,
)
def test_what_would_not_pass_soon_is_raised_at_once(error: ApiError) -> None:
    assert RetryPolicy().pause_s(error, failures=1, paused_s=0, chance=0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    text: str | None, seconds: float | None
) -> None:
    assert retry_after_s(text, now=NOW) == seconds
