"""Who has how much under way: what hangs at one host, or of one tenant, must not hold up others."""

import time
from collections import Counter

from protocol.webhook_store import Busy, Delivery, UnderWay

AT_ONE_HOST = 8


class Crowds:
    """The attempts of a sender that makes `at_once` of them at most."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._hosts, self._tenants = Counter[str](), Counter[str]()
        self._took_s: dict[str, float] = {}  # the last attempt at each busy host

    @property
    def free(self) -> int:
        """How many more there may be."""
        return self._at_once - self._hosts.total()

    @property
    def under_way(self) -> UnderWay:
        """As a claim wants it. Half of all places are the most that one tenant may fill."""
        return UnderWay(
            hosts={host: Busy(n, self._took_s.get(host)) for host, n in self._hosts.items()},
            tenants=dict(self._tenants),
            most_at_host=AT_ONE_HOST,
            most_of_tenant=max(AT_ONE_HOST, self._at_once // 2),
        )

    def enter(self, delivery: Delivery) -> float:
        """One more; returns when, for `leave`."""
        self._hosts[delivery.host] += 1
        self._tenants[delivery.tenant] += 1
        return time.monotonic()

    def leave(self, delivery: Delivery, since: float) -> None:
        """One less. A host is forgotten with the last."""
        self._took_s[delivery.host] = time.monotonic() - since
        self._hosts[delivery.host] -= 1
        self._tenants[delivery.tenant] -= 1
        if not self._hosts[delivery.host]:
            del self._hosts[delivery.host], self._took_s[delivery.host]
        if not self._tenants[delivery.tenant]:
            del self._tenants[delivery.tenant]
