"""Addresses, numbers and times, as both databases need them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from churnguard.errors import ConfigError
from integrations.netguard import Guard


def exact_number(text: str) -> Any:
    """A JSON number with a fraction: a float where that loses nothing, else text."""
    number = float(text)
    if repr(number) == text:
        # As nearly all are, and a fifth of the price.
        return number
    return number if Decimal(repr(number)) == Decimal(text) else text


def host_and_port(settings: Mapping[str, Any], default_port: int) -> tuple[str, int]:
    """(host, port) from the fields, or from base_url "host:port"; ConfigError."""
    host = str(settings.get("host") or settings.get("base_url") or "").strip()
    if not host.startswith("/"):
        host = host.split("://", 1)[-1].rstrip("/")
    port = settings.get("port") or 0
    if not port and host.count(":") == 1:
        host, _, text = host.partition(":")
        port = int(text) if text.isdigit() else 0
    if not host:
        raise ConfigError("Name the server's host.", fields={"host": "required"})
    return host, int(port) or default_port


def check_socket(path: str, guard: Guard) -> None:
    """Refuse a unix socket unless an administrator allowed them; ConfigError."""
    if not {"*", "unix"} & set(guard.allow_private):
        raise ConfigError(
            f"{path} is a socket of this machine, which connections may not use; an "
            "administrator can add “unix” to the allowed private hosts.",
            code="blocked_address",
        )


def shifted(watermark: Any, lookback_s: int) -> Any:
    """A time this much earlier; numbers and unreadable values stay."""
    if not isinstance(watermark, str):
        return watermark
    try:
        at = datetime.fromisoformat(watermark)
    except ValueError:
        return watermark
    return (at - timedelta(seconds=lookback_s)).isoformat()


def digest(value: Any) -> str:
    """32 hex digits of a JSON-safe value."""
    encoded = msgspec.json.encode(value, order="sorted")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()
