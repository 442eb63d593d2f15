"""The web process: one uvicorn server on both ports, dashboard and ingest."""

from __future__ import annotations

import errno
import os
import socket
import sys
from dataclasses import dataclass

from churnguard.errors import ConfigError
from churnguard.runtime.supervisor import EXIT_CONFIG

APPLICATION = "churnguard.asgi:application"


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on, and the variable that names the port."""

    host: str
    port: int
    variable: str

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


def addresses() -> list[Address]:
    """Dashboard first, then ingest; one only if both are the same.

    Raises ConfigError for a port that is no number from 1 to 65535.
    """
    found = [
        _address("DASHBOARD", default=8090),
        _address("WEBHOOK_SERVER", default=8080),
    ]
    same = found[0].host == found[1].host and found[0].port == found[1].port
    return found[:1] if same else found


def open_socket(address: Address) -> socket.socket:
    """A listening socket. Raises ConfigError with what to change where it cannot be."""
    host, port, name = address.host, address.port, address.variable
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ConfigError(f"{host} is no address of this machine: {exc}.") from exc
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(2048)
    except OSError as exc:
        opened.close()
        raise ConfigError(_why_not(exc, host, port, name)) from exc
    opened.set_inheritable(True)
    return opened


def main() -> int:
    """Serve until SIGTERM; 78 where the ports cannot be had."""
    try:
        sockets = [open_socket(address) for address in addresses()]
    except ConfigError as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_CONFIG
    # Late, because the supervisor needs this module only for its addresses.
    import uvicorn

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
    config = uvicorn.Config(
        APPLICATION,
        # Our own logging is set up by Django and writes the request lines too.
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=8,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_max_size=64 * 1024,
    )
    uvicorn.Server(config).run(sockets=sockets)
    return 0


def _address(prefix: str, *, default: int) -> Address:
    variable = f"{prefix}_PORT"
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ConfigError(
            f"{variable} is {text!r}; a port is a number from 1 to 65535."
        )
    host = os.environ.get(f"{prefix}_HOST") or "127.0.0.1"
    return Address(host=host, port=int(text), variable=variable)


def _why_not(exc: OSError, host: str, port: int, variable: str) -> str:
    if exc.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program. Stop that one, or "
            f"choose another port: {variable}={_free_port(host)} make run"
        )
    if exc.errno == errno.EACCES:
        return (
            f"Port {port} needs more rights than this user has. Choose one above 1023: "
            f"{variable}={_free_port(host)} make run"
        )
    return f"Cannot listen on {host}:{port} ({variable}): {exc.strerror}."


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
