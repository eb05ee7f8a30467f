"""One attempt: a delivery's event, signed and POSTed; whatever comes of it is an Answer."""

import asyncio
import logging
import time
from contextlib import suppress

import httpx2

from protocol.webhook_store import Delivery
from webhooks import event
from webhooks.schedule import Answer, retry_after_s
from webhooks.signing import SecretsError, SecretsFile, signed_headers
from webhooks.transport import Refused

log = logging.getLogger(__name__)
CONNECT_S = 5.0  # to one address; a host may have several
READ_BYTES, READ_S = 4096, 1.0  # of an answer's body, which nobody looks at
WORDS: dict[type[Exception], str] = {
    httpx2.ConnectError: "could not connect",
    httpx2.ConnectTimeout: "could not connect in time",
    httpx2.ReadError: "the connection broke before the answer",
    httpx2.WriteError: "the connection broke before the answer",
    httpx2.ReadTimeout: "no answer in time",
    httpx2.RemoteProtocolError: "the answer was not HTTP, or there was none",
}


class Poster:
    """Sends deliveries. `timeout_s` is for all of an attempt, look-up and connection included."""

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport,
        secrets: SecretsFile,
        *,
        timeout_s: float,
        public_url: str = "",
    ) -> None:
        self._transport, self._secrets = transport, secrets
        self._timeout_s, self._public_url = timeout_s, public_url

    async def post(self, delivery: Delivery) -> Answer:
        """Never raises for what an endpoint, its name or the file of secrets does."""
        try:
            request = self._request(delivery, at=time.time())
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(request)
        except TimeoutError:
            return Answer(error=f"no answer within {self._timeout_s:g} s")
        except SecretsError as error:
            log.error("%s: %s", delivery.id, error)
            return Answer(error="this service has no secret to sign it with")
        except Refused as error:
            return Answer(error=str(error))
        except httpx2.InvalidURL:
            return Answer(error="this is no URL")
        except httpx2.TransportError as error:
            return Answer(error=_why(error))
        await _finish(response)
        field = response.headers.get("retry-after")
        return Answer(response.status_code, retry_after_s=retry_after_s(field, now=time.time()))

    def _request(self, delivery: Delivery, *, at: float) -> httpx2.Request:
        """Raises SecretsError, httpx2.InvalidURL."""
        body = event.body(delivery, public_url=self._public_url)
        headers = {
            "content-type": "application/json",
            "user-agent": "denoised-webhooks/1",
            **signed_headers(delivery.id, at, body, self._secrets.of(delivery.tenant)),
        }
        timeouts = {
            "connect": CONNECT_S,
            "read": self._timeout_s,
            "write": self._timeout_s,
            "pool": self._timeout_s,
        }
        return httpx2.Request(
            "POST",
            delivery.url,
            headers=headers,
            content=body.encode(),
            extensions={"timeout": timeouts},
        )


async def _finish(response: httpx2.Response) -> None:
    """Read a little, so that the endpoint may end in peace; its status is known by now."""
    read = 0
    with suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout(READ_S):
            async for part in response.aiter_raw():
                read += len(part)
                if read >= READ_BYTES:
                    break
    with suppress(httpx2.TransportError):
        await response.aclose()


def _why(error: httpx2.TransportError) -> str:
    """In our words: an exception's own may name an address, which a name's owner need not know."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not valid for this host"
    return WORDS.get(type(error), "the request failed")
