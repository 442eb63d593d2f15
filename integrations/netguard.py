"""Keeps outbound calls away from private networks.

A user may type any address into a connection form; without this guard the server
could be made to call its own network (metadata services, databases, admin pages).
The host is resolved once, every address is checked, and the connection is made to
the checked address, so a second DNS answer cannot slip in. TLS and the Host header
still use the name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore
import httpx

from churnguard.errors import ConfigError, TransientError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], list[str]]

# RFC 6598 (carrier NAT), 6to4, Teredo and NAT64 can lead inside, but Python's
# is_global is true for some of them; the metadata address of most clouds is in
# 169.254.0.0/16, which is link-local already, Alibaba's and Azure's are not.
EXTRA_BLOCKED: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "fd00:ec2::254/128",
        "fec0::/10",
    )
)
_EMBEDDING: tuple[tuple[ipaddress.IPv6Network, int], ...] = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("::/96"), 0),
)


def names_user(address: str) -> bool:
    """Whether an address holds a user or password ("https://ann:pw@host"), which would
    be stored and shown openly."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
    except ValueError:
        return False
    return "@" in parts.netloc


@dataclass(frozen=True, slots=True)
class Guard:
    """Which private destinations are fine after all.

    allow_private: host names, addresses and CIDR blocks of self-hosted sources, or
    "*" for all (tests). Plain http is accepted only for names and addresses in that
    list, unless allow_http says otherwise: credentials must not travel in clear.
    """

    allow_private: tuple[str, ...] = ()
    allow_http: bool = False

    def check_url(self, url: str) -> None:
        """Refuse what is wrong before any lookup; ConfigError `unsafe_url`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(
                f"{_origin(url)} is not an http or https address.", code="unsafe_url"
            )
        if parts.scheme == "http" and not (self.allow_http or self._allows_name(host)):
            raise ConfigError(
                f"{_origin(url)} is not encrypted; use https, or list the host among "
                "the allowed private hosts.",
                code="unsafe_url",
            )
        literal = _as_address(host)
        if literal is not None:
            self.check_address(host, literal)

    def check_address(self, host: str, address: IPAddress) -> None:
        """Raise ConfigError `blocked_address` for a private address not allowed."""
        if is_public(address) or self._allows_name(host) or self._allows(address):
            return
        place = (
            f"{host} is a private address"
            if host == str(address)
            else f"{host} leads to the private address {address}"
        )
        raise ConfigError(
            f"{place}, which connections may not use unless an administrator names it "
            "in INTEGRATION_ALLOW_PRIVATE_HOSTS.",
            code="blocked_address",
        )

    def _allows_name(self, host: str) -> bool:
        wanted = host.rstrip(".").lower()
        for entry in self.allow_private:
            if entry == "*" or entry.rstrip(".").lower() == wanted:
                return True
        literal = _as_address(host)
        return literal is not None and self._allows(literal)

    def _allows(self, address: IPAddress) -> bool:
        real = _unwrap(address)
        for entry in self.allow_private:
            if entry == "*":
                return True
            network = _as_network(entry)
            # `in` is False where the two are of different versions.
            if network is not None and real in network:
                return True
        return False


def resolve(
    host: str, port: int, *, guard: Guard, resolver: Resolver | None = None
) -> list[str]:
    """The checked addresses of host, in the resolver's order.

    For drivers too (PostgreSQL `hostaddr`, MySQL): connect to one of these. Raises
    ConfigError `blocked_address` if any address is private (a name that answers with
    both kinds is an attack or a mistake), TransientError `host_not_found`.
    """
    literal = _as_address(host)
    if literal is not None:
        guard.check_address(host, literal)
        return [str(literal)]
    try:
        found = (resolver or system_resolver)(host, port)
    except (OSError, UnicodeError) as exc:
        raise TransientError(
            f"The host name {host} could not be found; check its spelling.",
            code="host_not_found",
        ) from exc
    addresses = list(dict.fromkeys(found))
    for text in addresses:
        guard.check_address(host, ipaddress.ip_address(text))
    if not addresses:
        raise TransientError(f"{host} has no address.", code="host_not_found")
    return addresses


def system_resolver(host: str, port: int) -> list[str]:
    """What the operating system says, v4 and v6, without scope suffixes."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]).split("%", 1)[0] for row in rows]


def is_public(address: IPAddress) -> bool:
    """True if the address (also one wrapped in a v6 form) is on the open internet."""
    real = _unwrap(address)
    if any(real in net for net in EXTRA_BLOCKED if net.version == real.version):
        return False
    return real.is_global and not real.is_multicast


class GuardedBackend(httpcore.NetworkBackend):
    """Opens sockets only to checked addresses; tries them in order."""

    def __init__(self, guard: Guard, *, resolver: Resolver | None = None) -> None:
        self._guard = guard
        self._resolver = resolver
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, guard=self._guard, resolver=self._resolver)
        except TransientError as exc:
            # As a connection error it is tried again like any other.
            raise httpcore.ConnectError(exc.message) from exc
        for address in addresses[:-1]:
            try:
                return self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._inner.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise ConfigError("Unix sockets are no outbound address.", code="unsafe_url")


class GuardedTransport(httpx.HTTPTransport):
    """httpx's transport over guarded sockets; no proxy or netrc from the environment.

    verify: False only where a person has switched certificate checks off.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        verify: bool = True,
        resolver: Resolver | None = None,
        max_connections: int = 50,
        keepalive_s: float = 30.0,
    ) -> None:
        context = httpx.create_ssl_context(verify=verify, trust_env=False)
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the network backend, so its pool is replaced.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=keepalive_s,
            network_backend=GuardedBackend(guard, resolver=resolver),
        )


def _unwrap(address: IPAddress) -> IPAddress:
    """The v4 address inside a mapped, 6to4, NAT64 or compatible v6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    for network, shift in _EMBEDDING:
        if address in network and int(address) > 1:
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _as_address(host: str) -> IPAddress | None:
    """The address if host is one, also in the odd spellings the C library takes
    (0x7f000001, 2130706433, 127.1)."""
    try:
        return ipaddress.ip_address(host.strip("[]").split("%", 1)[0])
    except ValueError:
        pass
    if not host or not host[0].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _as_network(entry: str) -> IPNetwork | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"
