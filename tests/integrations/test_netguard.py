"""No way into private networks, and still the right name on the wire."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.errors import ConfigError, TransientError
from integrations.http import Client, RetryPolicy
from integrations.netguard import Guard, GuardedTransport, is_public, resolve
from tests.integrations.http.wire import head, raw_server

PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_blocked(address):
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(ConfigError) as caught:
        resolve("evil.example", 443, guard=Guard(), resolver=lambda *_: [address])
    assert caught.value.code == "blocked_address"


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
)
def test_public_addresses_pass(address):
    found = resolve("ok.example", 443, guard=Guard(), resolver=lambda *_: [address])

    assert found == [address]


def test_one_private_address_among_public_ones_blocks_the_name():
    with pytest.raises(ConfigError):
        resolve("x.example", 443, guard=Guard(), resolver=lambda *_: ["8.8.8.8", "::1"])


@given(number=st.integers(0, 2**32 - 1))
def test_wrapping_an_address_changes_nothing(number):
    plain = ipaddress.IPv4Address(number)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)

    assert is_public(mapped) == is_public(nat64) == is_public(plain)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "http://api.example.com/",
        "http://8.8.8.8/",
        "ftp://api.example.com/",
        "https:///nowhere",
    ],
)
def test_addresses_refused_before_any_lookup(url):
    with pytest.raises(ConfigError):
        Guard().check_url(url)


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://192.168.0.1/", False),
        ("crm.local", "http://CRM.local./", True),
        ("crm.local", "http://other.local/", False),
        ("*", "http://192.168.0.1/", True),
    ],
)
def test_listed_hosts_are_allowed(entry, url, allowed):
    guard = Guard(allow_private=(entry,))

    if allowed:
        guard.check_url(url)
    else:
        with pytest.raises(ConfigError):
            guard.check_url(url)


def test_unknown_host_is_transient():
    def no_answer(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(TransientError) as caught:
        resolve("typo.example", 443, guard=Guard(), resolver=no_answer)
    assert caught.value.code == "host_not_found"


def test_connection_goes_to_the_checked_address_with_the_real_name():
    """The second, private answer of a rebinding name server is never asked for."""
    heads = []
    answers = []

    def handle(connection, request):
        heads.append(request)
        connection.sendall(head(Content_Length="2") + b"{}")

    def resolver(_host: str, _port: int) -> list[str]:
        answers.append("127.0.0.1" if not answers else "10.0.0.1")
        return [answers[-1]]

    guard = Guard(allow_private=("127.0.0.0/8", "crm.local"))
    transport = GuardedTransport(guard, resolver=resolver)
    with raw_server(handle) as url:
        port = url.rsplit(":", 1)[1]
        client = Client(
            guard=guard, transport=transport, base_url=f"http://crm.local:{port}"
        )
        assert client.get_json("/x") == {}

    assert answers == ["127.0.0.1"]
    assert f"Host: crm.local:{port}".encode() in heads[0]


def test_name_that_turns_private_later_is_blocked_at_the_next_connection():
    guard = Guard(allow_http=True)
    transport = GuardedTransport(guard, resolver=lambda *_: ["127.0.0.1"])
    client = Client(
        guard=guard,
        transport=transport,
        base_url="http://rebind.example",
        retry=RetryPolicy(max_attempts=3),
    )

    with pytest.raises(ConfigError) as caught:
        client.get("/x")

    assert caught.value.code == "blocked_address"


def test_next_address_is_tried_when_one_does_not_answer():
    def handle(connection, _request):
        connection.sendall(head(Content_Length="2") + b"{}")

    guard = Guard(allow_private=("*",))
    with raw_server(handle) as url:
        port = url.rsplit(":", 1)[1]
        transport = GuardedTransport(
            guard, resolver=lambda *_: ["127.0.0.9", "127.0.0.1"]
        )
        client = Client(
            guard=guard, transport=transport, base_url=f"http://two.local:{port}"
        )
        assert client.get_json("/x") == {}


def test_a_name_that_is_not_found_is_looked_up_again():
    asked = []

    def resolver(host: str, _port: int) -> list[str]:
        asked.append(host)
        raise OSError("Name or service not known")

    client = Client(
        transport=GuardedTransport(Guard(), resolver=resolver),
        base_url="https://typo.example",
        retry=RetryPolicy(max_attempts=3),
        sleep=lambda _wait_s: None,
    )

    with pytest.raises(TransientError, match="could not be found") as caught:
        client.post("/x")

    assert caught.value.code == "host_not_found"
    assert asked == ["typo.example"] * 3
