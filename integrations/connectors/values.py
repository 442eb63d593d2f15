"""One value of a provider's object as ours, or a RecordError that names the field.

Every function takes the object and the field's name; a missing, null or empty value is
None. Money comes as a decimal number of the major unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from churnguard.currencies import minor_places
from churnguard.errors import RecordError
from integrations.mapping import parse_time

Source = Mapping[str, Any]

_YES_NO = {"true": True, "false": False, "1": True, "0": False}


def text(source: Source, name: str) -> str | None:
    """The text without outer blanks; numbers become text."""
    value = source.get(name)
    if value is None:
        return None
    if isinstance(value, (dict, list, bool)):
        raise _wrong(name, value, "a text")
    return str(value).strip() or None


def moment(source: Source, name: str) -> datetime | None:
    """The time in UTC: ISO 8601, a date, or a unix number."""
    value = source.get(name)
    if value in (None, ""):
        return None
    try:
        return parse_time(value)
    except ValueError as exc:
        raise RecordError(f"{name}: {exc}", code="bad_time", field=name) from exc


def real(source: Source, name: str) -> float | None:
    """The finite number."""
    found = _decimal(source, name)
    return None if found is None else float(found)


def whole(source: Source, name: str) -> int | None:
    """The number without its fraction."""
    found = _decimal(source, name)
    return None if found is None else int(found)


def flag(source: Source, name: str) -> bool | None:
    """True or false, also as text."""
    value = source.get(name)
    if value is None or value == "" or isinstance(value, bool):
        return None if value == "" else value
    found = _YES_NO.get(str(value).strip().lower())
    if found is None:
        raise _wrong(name, value, "true or false")
    return found


def minor(source: Source, name: str, currency: str | None) -> int | None:
    """An amount in minor units of `currency`; None where the currency is unknown."""
    found = _decimal(source, name)
    if found is None or currency is None:
        return None
    return int((found * 10 ** minor_places(currency.upper())).to_integral_value())


def _decimal(source: Source, name: str) -> Decimal | None:
    value = source.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, (bool, dict, list)):
        raise _wrong(name, value, "a number")
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation as exc:
        raise _wrong(name, value, "a number") from exc
    if not found.is_finite() or abs(found) >= 10**18:
        raise _wrong(name, value, "a number in range")
    return found


def _wrong(name: str, value: Any, wanted: str) -> RecordError:
    shown = str(value)[:60]
    return RecordError(
        f"{name} is “{shown}”, not {wanted}.", code="wrong_type", field=name
    )
