"""One request to an endpoint that strangers name: to a checked address, and nowhere else.

A transport, not a client: clients follow redirects, keep cookies and take proxies from the
environment; a transport does none of it.
"""

import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx2

from protocol.webhook_policy import DEFAULT_PORTS, Address, WebhookPolicy
from webhooks.look_up import look_up

ADDRESSES_TRIED = 3


class Refused(Exception):
    """Why a request is not made. Tells nothing of what a name stands for: that may be a secret of
    the network we are in."""


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Looks a host up once, checks every address it has, and connects to those addresses.

    What is connected to is an address, so no second look-up can change it; TLS still asks for, and
    verifies, the name.
    """

    def __init__(self, policy: WebhookPolicy, *, verify: ssl.SSLContext | bool = True) -> None:
        self._policy = policy
        # Nothing is kept alive: the pool knows connections by address, and one that was verified
        # for a name must not carry another name's request.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, its body not yet read. Raises Refused, and what httpx2 raises."""
        failure: Exception = Refused("The host's name has no address.")
        for address in (await self._addresses_of(request.url))[:ADDRESSES_TRIED]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def _addresses_of(self, url: httpx2.URL) -> Sequence[Address]:
        """All that the name has, every one of them allowed. Raises Refused."""
        objection = self._policy.objection_to_door(url.scheme, url.port)
        if objection is not None:
            raise Refused(objection)
        port = url.port or DEFAULT_PORTS[url.scheme]
        try:
            found = await look_up(_host(url), port)
        except (OSError, ValueError) as error:
            raise Refused("The host's name cannot be resolved.") from error
        if not all(self._policy.may_reach(address) for address in found):
            raise Refused("Webhooks do not go to this host's address.")
        return found


def _pinned(request: httpx2.Request, address: Address) -> httpx2.Request:
    """The same request, to an address; its Host header and the name TLS verifies stay."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _host(request.url)},
    )


def _host(url: httpx2.URL) -> str:
    """As DNS and certificates have it."""
    return url.raw_host.decode("ascii")
