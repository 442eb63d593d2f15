"""MySQL values as JSON-safe ones, and the socket to its server."""

from __future__ import annotations

import base64
import socket
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

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
