"""Where webhooks may go: every class of address, and what a URL must not be."""

from ipaddress import ip_address

import pytest

from protocol.webhook_policy import WebhookPolicy, parse_networks, parse_ports

REFUSED = {
    "this host": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "fd12::1", "fec0::1"],
    "link-local": ["169.254.0.1", "fe80::1"],
    "carrier-grade NAT": ["100.64.0.1", "100.127.255.254"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "broadcast and reserved": ["255.255.255.255", "240.0.0.1", "4000::1"],
    "benchmarks and documentation": ["198.18.0.1", "192.0.2.1", "2001:db8::1", "3fff::1"],
    "metadata": [
        "169.254.169.254",  # most clouds
        "fd00:ec2::254",  # AWS
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
    ],
    "IPv4 in IPv6": [
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
}
PUBLIC = ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize(
    "address", [pytest.param(a, id=f"{kind} {a}") for kind, all_ in REFUSED.items() for a in all_]
)
def test_an_address_that_is_not_public_is_refused_unless_it_is_allowed(address: str) -> None:
    found = ip_address(address)
    assert not WebhookPolicy().may_reach(found)
    plain = getattr(found, "ipv4_mapped", None) or found
    assert WebhookPolicy(networks=parse_networks(str(plain))).may_reach(found)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    assert WebhookPolicy().may_reach(ip_address(address))


def test_an_allowed_network_allows_nothing_else() -> None:
    policy = WebhookPolicy(networks=parse_networks("10.1.0.0/16, fd12::/16"))
    reached = ["10.1.2.3", "fd12::1", "::ffff:10.1.2.3"]
    assert all(policy.may_reach(ip_address(address)) for address in reached)
    refused = ["10.2.0.1", "fd13::1", "127.0.0.1", "::ffff:10.2.0.1"]
    assert not any(policy.may_reach(ip_address(address)) for address in refused)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org", "https:// only"),
        ("HTTP://example.org", "https:// only"),
        ("file:///etc/passwd", "no URL with a host"),
        ("gopher://example.org", "https:// only"),
        ("example.org", "no URL with a host"),
        ("https://", "no URL with a host"),
        ("https://:443", "no URL with a host"),
        ("https://[::1", "no URL"),
        ("https://example.org:port", "no URL"),
        ("https://example.org:25", "port 25"),
        ("https://example.org:0", "port 0"),
        ("https://user:secret@example.org", "user and password"),
        ("https://@example.org", "user and password"),
        ("https://example.org\\@localhost", "ASCII"),
        ("https://exa\tmple.org", "ASCII"),
        (" https://example.org", "ASCII"),
        ("https://bücher.example", "punycode"),
        ("https://example.org/#part", "#"),
        ("https://127.0.0.1", "this address"),
        ("https://[::ffff:7f00:1]", "this address"),
        ("https://LOCALHOST", "this address"),
        ("https://api.localhost", "this address"),
    ],
)
def test_a_bad_url_is_told_why(url: str, why: str) -> None:
    objection = WebhookPolicy().objection(url)
    assert objection is not None
    assert why in objection
    assert "secret" not in objection


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_a_good_url_is_not_objected_to(port: str) -> None:
    assert WebhookPolicy().objection(f"https://example.org{port}/hooks?token=1") is None


def test_the_operator_may_allow_http_and_ports() -> None:
    policy = WebhookPolicy(allow_http=True, ports=parse_ports("80, 5000-5001"))
    for url in ("http://example.org", "http://example.org:5001"):
        assert policy.objection(url) is None
    for url in ("http://example.org:5002", "https://example.org"):
        assert policy.objection(url) is not None


@pytest.mark.parametrize("text", ["0", "65536", "a", "9-8", "1-2-3", "-1"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no port"):
        parse_ports(text)
