"""Where webhooks may go. Pure: what a name stands for is looked up elsewhere.

An endpoint is a public one over TLS unless the operator says otherwise, so that nobody reaches the
service's own network through it (server-side request forgery).
"""

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARACTERS = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}
GLOBAL_UNICAST = IPv6Network("2000::/3")
# What `ipaddress` calls global, in some version of Python or in all, and no endpoint lives in.
REFUSED = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's metadata; the other clouds' are link-local, private or CGNAT
        "192.0.0.0/24",  # IETF's own; Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4
        "2001::/32",  # Teredo and 6to4 carry an IPv4 address, which may be any
        "2002::/16",
        "3fff::/20",  # documentation
    )
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """The operator's: whether plain HTTP will do, which ports, which networks beside the public."""

    allow_http: bool = False
    ports: tuple[range, ...] = (
        range(80, 81),
        range(443, 444),
        range(8080, 8081),
        range(8443, 8444),
    )
    networks: tuple[Network, ...] = ()

    def objection(self, url: str) -> str | None:
        """Why nothing is sent to a URL, as far as that can be told without looking up its host."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "This is no URL."
        return (
            _objection_to_form(url, parts)
            or self.objection_to_door(parts.scheme, port)
            or self._objection_to_host(parts.hostname or "")
        )

    def objection_to_door(self, scheme: str, port: int | None) -> str | None:
        """Why nothing is sent that way; no port is the scheme's own."""
        if scheme != "https" and not (scheme == "http" and self.allow_http):
            return "Webhooks go to https:// only."
        port = DEFAULT_PORTS[scheme] if port is None else port
        if not any(port in ports for ports in self.ports):
            return f"Webhooks do not go to port {port} here."
        return None

    def may_reach(self, address: Address) -> bool:
        """Whether it is public, or in a network that the operator allows."""
        plain = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
        return any(plain in network for network in self.networks) or _is_public(plain)

    def _objection_to_host(self, host: str) -> str | None:
        if host == "localhost" or host.endswith(".localhost"):
            host = "127.0.0.1"
        try:
            address = ip_address(host)
        except ValueError:
            return None  # a name
        return None if self.may_reach(address) else "Webhooks do not go to this address."


PUBLIC_ONLY = WebhookPolicy()


def _objection_to_form(url: str, parts: SplitResult) -> str | None:
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        return "A URL is of ASCII: percent-encode what is not, write the host in punycode."
    if not parts.hostname:
        return "This is no URL with a host."
    if "@" in parts.netloc:
        return "Leave out user and password: deliveries are signed."
    if parts.fragment:
        return "Leave out what follows the #: it is never sent."
    return None


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in network for network in REFUSED)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Of `10.0.0.0/8, ::1/128`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_ports(text: str) -> tuple[range, ...]:
    """Of `443, 8000-8999`. Raises ValueError."""
    return tuple(_port_range(part.strip()) for part in text.split(",") if part.strip())


def _port_range(text: str) -> range:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"no port and no range of ports: {text}")
    return range(first, last + 1)
