"""MySQL values as JSON-safe ones."""

from __future__ import annotations

import base64
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec


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
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return str(value)


def moment_text(value: Any) -> str | None:
    """Zero dates ("0000-00-00 ...") are null."""
    return value.isoformat() if isinstance(value, (datetime, date)) else None


def utc(value: Any) -> str | None:
    return f"{value.isoformat()}+00:00" if isinstance(value, datetime) else None


def from_json(value: Any) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def bits(value: Any) -> int:
    return int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)


READERS = {"datetime": moment_text, "date": moment_text, "bit": bits}
