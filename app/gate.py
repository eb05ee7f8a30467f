"""Who may come in: a key to an owner, an owner to a bucket of requests. Before a body is read."""

import math
import re

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.errors import ApiError, Unauthenticated
from app.keys import ANYBODY, Caller, KeyRing
from app.limits import Limit, headers_of
from app.shortages import RateLimited
from protocol.rate_limiter import RateLimiter

OPEN = {"/livez", "/readyz", "/openapi.json", "/docs"}  # nothing of anybody's is shown there
READS = {"GET", "HEAD", "OPTIONS"}
BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*) *", re.IGNORECASE)
BURST_S = 2  # a bucket holds so many seconds' worth, unless the key says otherwise


class Gate:
    """Puts the caller into the request's state, and the owner's limits into its answer."""

    def __init__(self, app: ASGIApp, keys: KeyRing | None) -> None:
        self.app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        try:
            caller = scope["state"]["caller"] = self._caller(Headers(scope=scope))
            limit = await _count(caller, scope)
        except ApiError as error:
            answer = await problems.answer(Request(scope), error)
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send if limit is None else _telling(limit, send))

    def _caller(self, headers: Headers) -> Caller:
        """Raises Unauthenticated."""
        if self._keys is None:
            return ANYBODY
        given = headers.getlist("authorization")
        if not given:
            raise Unauthenticated
        found = BEARER.fullmatch(given[0]) if len(given) == 1 else None
        caller = found and self._keys.owner_of(found[1])
        if caller is None:
            raise Unauthenticated("The API key is not valid.", error="invalid_token")
        return caller


async def _count(caller: Caller, scope: Scope) -> Limit | None:
    """Take one request from the owner's bucket; None where there is none. Raises RateLimited.

    Reads and writes have a bucket each: who polls a lot can still submit, and the other way round.
    """
    per_s = caller.quotas.requests_per_s
    if per_s is None:
        return None
    burst = caller.quotas.burst or math.ceil(BURST_S * per_s)
    kind = "reads" if scope["method"] in READS else "writes"
    limiter: RateLimiter = scope["state"]["limiter"]
    name = f"{caller.name}:{kind}"
    try:
        taken = await run_in_threadpool(limiter.take, name, per_s=per_s, burst=burst)
    except RedisError:  # what that means is the route's to say: not every one needs Redis
        return None
    window_s = math.ceil(burst / per_s)
    limit = Limit(kind, burst, window_s, left=taken.left, reset_s=math.ceil(taken.more_in_s))
    if not taken.granted:
        raise RateLimited(f"More than {per_s:g} {kind} a second.", limit=limit)
    return limit


def _telling(limit: Limit, send: Send) -> Send:
    """A `send` that adds how much is left, unless the answer tells of another limit."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in headers_of(limit).items():
                headers.setdefault(name, value)
        await send(message)

    return told
