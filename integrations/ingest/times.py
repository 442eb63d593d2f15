"""Times as senders write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 1e11
"""From this number on it counts milliseconds: as seconds it would be the year 5138."""
_MICROSECONDS_FROM = 1e14


def parse_time(value: Any) -> datetime:
    """Aware UTC of ISO 8601 text, or of a Unix time in seconds or milliseconds.

    Text without a zone is UTC. Raises ValueError for anything else.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, bool):
        raise ValueError("a truth value is no time")
    elif isinstance(value, int | float):
        return _from_number(value)
    elif isinstance(value, str):
        text = value.strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return _from_number(float(text))
    else:
        raise ValueError("not a time")
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("out of range") from exc


def _from_number(number: float) -> datetime:
    try:
        is_finite = math.isfinite(number)
    except OverflowError as exc:
        raise ValueError("out of range") from exc
    if not is_finite:
        raise ValueError("not a finite number")
    if abs(number) >= _MICROSECONDS_FROM:
        unit = timedelta(microseconds=1)
    elif abs(number) >= _MILLISECONDS_FROM:
        unit = timedelta(milliseconds=1)
    else:
        unit = timedelta(seconds=1)
    try:
        return _EPOCH + number * unit
    except OverflowError as exc:
        raise ValueError("out of range") from exc
