"""What the system says a host's addresses are, each question in a thread of its own.

A question cannot be taken back, and lasts as long as a name server keeps silent. In asyncio's pool
a few such would stand before everything that is sent from there, Redis's commands too. A daemon
stands in nobody's way, not even the end's; there are as many as attempts that wait for a name, or
gave up on one lately.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from ipaddress import ip_address

from protocol.webhook_policy import Address


async def look_up(host: str, port: int) -> list[Address]:
    """All of them in the system's order, each once. Raises OSError, ValueError."""
    answer = Future[list[Address]]()
    threading.Thread(target=_ask, args=(answer, host, port), name="look-up", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _ask(answer: "Future[list[Address]]", host: str, port: int) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answer.set_result(list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found)))
    except (OSError, ValueError) as error:  # whoever waits is to have it
        answer.set_exception(error)
