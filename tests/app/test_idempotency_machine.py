"""Idempotency as a state machine: any order of submissions, replays and ends, by two tenants."""

from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.errors import IdempotencyKeyReused, InvalidRequest
from app.idempotency import Named
from app.jobs import JobService
from app.schemas import JobSubmission
from app.submissions import SubmissionService
from protocol import keys
from protocol.webhook_policy import WebhookPolicy
from tests.app.played_worker import PlayedWorker
from tests.conftest import RedisServer

TENANTS = st.sampled_from(["ann", "bob"])
NAMES = st.sampled_from(["a", "b", None])
BODIES = st.sampled_from([{}, {"n": 2}, {"n": 2, "seed": 7}])


class Submissions(RuleBasedStateMachine):
    """What was submitted under which name, beside what the service says."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.server.client()
        self.redis.flushdb()
        self.worker = PlayedWorker(self.redis)
        self.worker.announce()
        self.jobs = JobService(self.redis)
        self.submissions = SubmissionService(
            self.redis, submitting=self.redis, webhook_policy=WebhookPolicy()
        )
        self.known: dict[tuple[str, str], tuple[dict[str, Any], str, int]] = {}
        self.made: set[str] = set()
        self.open: list[str] = []

    @rule(tenant=TENANTS, name=NAMES, body=BODIES)
    def submit(self, tenant: str, name: str | None, body: dict[str, Any]) -> None:
        named = None if name is None else Named(name, body)
        earlier = None if name is None else self.known.get((tenant, name))
        submissions, asked = self.submissions.of(tenant), JobSubmission.model_validate(body)
        if earlier is not None and earlier[0] != body:
            with pytest.raises(IdempotencyKeyReused):
                submissions.submit(asked, strict=False, named=named)
            return
        accepted = submissions.submit(asked, strict=False, named=named)
        seed = self.jobs.of(tenant).get(accepted.job_id).request.seed
        assert accepted.replayed == (earlier is not None)
        if earlier is not None:
            assert (accepted.job_id, seed) == earlier[1:]
            return
        assert accepted.job_id not in self.made
        self.made.add(accepted.job_id)
        self.open.append(accepted.job_id)
        if name is not None:
            self.known[tenant, name] = (body, accepted.job_id, seed)

    @rule(tenant=TENANTS, name=NAMES)
    def submit_what_is_refused(self, tenant: str, name: str | None) -> None:
        """It takes no name, and gives no name away."""
        body = {"n": 2, "first_index": 2**32 - 1}
        named = None if name is None else Named(name, body)
        with pytest.raises(InvalidRequest):
            self.submissions.of(tenant).submit(
                JobSubmission.model_validate(body), strict=False, named=named
            )

    @rule(tenant=TENANTS, body=BODIES)
    def rehearse(self, tenant: str, body: dict[str, Any]) -> None:
        self.submissions.of(tenant).rehearse(JobSubmission.model_validate(body), strict=True)

    @rule()
    def a_job_ends(self) -> None:
        if self.open:
            self.worker.finish(self.open.pop())

    @invariant()
    def there_is_what_was_accepted_and_no_more(self) -> None:
        assert self._found(keys.job("job_" + "?" * 32)) == {keys.job(job) for job in self.made}
        assert len(self._found(keys.idempotency("*", "*"))) == len(self.known)

    def _found(self, pattern: str) -> set[str]:
        return {name.decode() for name in cast(list[bytes], self.redis.keys(pattern))}

    def teardown(self) -> None:
        self.redis.close()


class TestSubmissions(Submissions.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    @classmethod
    def setUpClass(cls) -> None:
        Submissions.server = cls.enterClassContext(RedisServer.running())
