"""MySQL values as JSON-safe ones, and the way to its server."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from churnguard.errors import ConfigError
from integrations.connectors.sql.values import exact_number

TYPES = {
    "tinyint": "integer",
    "smallint": "integer",
    "mediumint": "integer",
    "int": "integer",
    "bigint": "integer",
    "year": "integer",
    "bit": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "datetime": "datetime",
    "timestamp": "datetime",
    "date": "date",
    "json": "json",
}


def plain(value: Any) -> Any:
    """JSON-safe by the type the driver chose."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _time_of_day(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return str(value)


def moment_text(value: Any) -> str | None:
    """Zero dates ("0000-00-00 ...") are null."""
    return value.isoformat() if isinstance(value, (datetime, date)) else None


def utc(value: Any) -> str | None:
    return f"{value.isoformat()}+00:00" if isinstance(value, datetime) else None


_decode = msgspec.json.Decoder(float_hook=exact_number).decode


def from_json(value: Any) -> Any:
    try:
        return _decode(value)
    except msgspec.DecodeError:
        return value


def _time_of_day(value: timedelta) -> str:
    """TIME as MySQL writes it: "-838:59:59", "01:02:03.5"."""
    whole, micros = divmod(abs(value), timedelta(seconds=1))
    hours, rest = divmod(whole, 3600)
    fraction = f".{micros.microseconds:06d}".rstrip("0").rstrip(".")
    sign = "-" if value < timedelta(0) else ""
    return f"{sign}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{fraction}"


def bits(value: Any) -> int:
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


READERS = {"datetime": moment_text, "date": moment_text, "bit": bits}


def open_socket(address: str, port: int) -> socket.socket:
    """A connected socket to an address or a unix socket's path. Raises OSError."""
    if not address.startswith("/"):
        return socket.create_connection((address, port), timeout=10)
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(10)
    opened.connect(address)
    return opened


def tls_context(settings: Mapping[str, Any]) -> ssl.SSLContext | None:
    """How a session is encrypted; None = it is not. Raises ConfigError."""
    mode = settings.get("sslmode") or "verify-full"
    if mode == "disable":
        return None
    certificate = str(settings.get("ca_certificate") or "").strip()
    if mode == "verify-ca" and not certificate:
        # Anybody has a certificate of some public authority, for some name.
        raise ConfigError(
            "To verify the certificate without the name, give the CA certificate; a "
            "public authority needs the name verified as well.",
            code="tls_failed",
            fields={"ca_certificate": "required"},
        )
    try:
        context = ssl.create_default_context(cadata=certificate or None)
    except ssl.SSLError as exc:
        raise ConfigError(
            "The CA certificate is not a PEM certificate.",
            fields={"ca_certificate": "not PEM"},
        ) from exc
    if mode != "verify-full":
        context.check_hostname = False
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context
