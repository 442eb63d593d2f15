"""Times in the shapes sources send them, read without guessing.

ISO 8601, unix numbers, RFC 2822, worded months, and day/month/year with any separator.
A date like 03/04/2026 is refused unless the mapping says which part is the day.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

UNITS: dict[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}

# Numbers from here on are the next finer unit: 9999-12-31 in seconds, in ms, in us.
_UNIT_LIMITS = ((2.6e11, 1.0), (2.6e14, 1e3), (2.6e17, 1e6))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ANY_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?$")
# Fewer digits are more likely a year or a serial number than a moment.
_NUMBER = re.compile(r"[+-]?\d{6,}(\.\d+)?$")
_ISO_MARKS = ("T", " ")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})$")
_ISO_LIKE = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)"
    r"(?:[.,](?P<part>\d+))?\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
_PARTS = re.compile(
    r"(?P<a>\d{1,4})(?P<sep>[/.\-])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{1,4})"
    r"(?:[ T,]+(?P<rest>.+))?$"
)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,]\d+)?)?\s*(?P<half>[ap]m)?$",
    re.IGNORECASE,
)
_WORDED = (
    "%d %b %Y",
    "%d %B %Y",
    "%b %d %Y",
    "%B %d %Y",
    "%d-%b-%Y",
    "%d %b %Y %H:%M",
    "%d %b %Y %H:%M:%S",
    "%b %d %Y %H:%M",
    "%b %d %Y %H:%M:%S",
    "%b %d %Y %I:%M %p",
    "%B %d %Y %I:%M %p",
)


def parse_time(
    value: Any,
    *,
    zone: tzinfo = UTC,
    formats: Sequence[str] = (),
    day_first: bool | None = None,
    unit: str = "",
) -> datetime:
    """The moment in UTC. Raises ValueError with a sentence.

    zone: of times that name none. formats: strptime patterns tried first. day_first:
    the meaning of 03/04/2026; None refuses it. unit: of numbers (s, ms, us, ns); ""
    goes by their size.
    """
    if type(value) is str and not formats and value[10:11] in _ISO_MARKS:
        # Nearly all times come in this form.
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is not None:
            return _in_utc(found, zone)
    if isinstance(value, datetime):
        return _in_utc(value, zone)
    if isinstance(value, date):
        return _in_utc(datetime.combine(value, time()), zone)
    if isinstance(value, int) and not unit and 19_000_101 <= value <= 21_001_231:
        # Eight digits are a day: as seconds they would all lie in 1970.
        return _from_text(str(value), zone, day_first, unit)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _from_number(float(value), unit)
    if not isinstance(value, str):
        raise ValueError(f"{show(value)} is not a date.")
    text = value.strip()
    for pattern in formats:
        found = _strptime(text, pattern)
        if found is not None:
            return _in_utc(found, zone)
    if formats:
        raise ValueError(f"{show(value)} does not match {' or '.join(formats)}.")
    return _from_text(text, zone, day_first, unit)


@functools.lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name. ValueError if there is none."""
    if name.upper() in ("", "UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(
            f"{name!r} is not a time zone, such as Europe/Berlin."
        ) from exc


def show(value: Any) -> str:
    """A value for a sentence, at most 60 characters."""
    text = repr(value) if len(str(value)) <= 60 else repr(str(value)[:57] + "...")
    return text.replace("\n", " ")


def _from_text(text: str, zone: tzinfo, day_first: bool | None, unit: str) -> datetime:
    if not unit and (compact := _COMPACT.match(text)):
        return _in_utc(_built(*map(int, compact.groups())), zone)
    if (_NUMBER if not unit else _ANY_NUMBER).match(text):
        return _from_number(float(text), unit)
    for read in (_iso, _parts, _worded, _mail):
        found = read(text, day_first)
        if found is not None:
            return _in_utc(found, zone)
    raise ValueError(f"{show(text)} is not a date.")


def _from_number(number: float, unit: str) -> datetime:
    factor = UNITS.get(unit)
    if factor is None:
        factor = next(
            (factor for limit, factor in _UNIT_LIMITS if abs(number) < limit), 1e9
        )
    try:
        return _EPOCH + timedelta(seconds=number / factor)
    except (OverflowError, ValueError) as exc:
        raise ValueError(f"{show(number)} is out of range for a date.") from exc


def _iso(text: str, _day_first: bool | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    match = _ISO_LIKE.match(text)
    if match is None:
        return None
    # More than six digits of a second, a blank before the zone, +00 and "UTC".
    part = (match["part"] or "0")[:6].ljust(6, "0")
    zone = (match["zone"] or "").upper().replace("UTC", "Z").replace("GMT", "Z")
    clock = match["time"] if match["time"].count(":") == 2 else f"{match['time']}:00"
    try:
        return datetime.fromisoformat(f"{match['day']}T{clock}.{part}{zone}")
    except ValueError:
        return None


def _parts(text: str, day_first: bool | None) -> datetime | None:
    match = _PARTS.match(text)
    if match is None:
        return None
    a, b, c = int(match["a"]), int(match["b"]), int(match["c"])
    if len(match["a"]) == 4:
        year, month, day = a, b, c
    elif len(match["c"]) == 3 or len(match["a"]) > 2:
        return None
    else:
        year = c if len(match["c"]) == 4 else 2000 + c if c < 70 else 1900 + c
        day, month = _day_and_month(a, b, day_first, text, match["sep"])
    clock = _clock(match["rest"])
    return None if clock is None else _built(year, month, day, *clock)


def _day_and_month(
    a: int, b: int, day_first: bool | None, text: str, separator: str
) -> tuple[int, int]:
    if a > 12 >= b:
        return a, b
    if b > 12 >= a:
        return b, a
    if day_first is None and separator == ".":
        # Points stand between day and month first wherever they are used.
        day_first = True
    if day_first is None and a != b:
        raise ValueError(
            f"{show(text)} can be read in two ways; say in the mapping whether the day "
            "comes first."
        )
    return (a, b) if day_first else (b, a)


def _clock(text: str | None) -> tuple[int, int, int] | None:
    if not text:
        return 0, 0, 0
    match = _CLOCK.match(text.strip())
    if match is None:
        return None
    hour = int(match["h"])
    half = (match["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour, int(match["m"]), int(match["s"] or 0)


def _worded(text: str, _day_first: bool | None) -> datetime | None:
    plain = text.replace(",", "")
    plain = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", plain)
    found = (_strptime(plain, pattern) for pattern in _WORDED)
    return next((moment for moment in found if moment is not None), None)


def _mail(text: str, _day_first: bool | None) -> datetime | None:
    # Without this check the parser makes dates of "1 2 3".
    if not re.search(r"[A-Za-z]{3}", text):
        return None
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _strptime(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007 - the caller adds it
    except ValueError:
        return None


def _built(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime:
    try:
        return datetime.combine(date(year, month, day), time(hour, minute, second))
    except ValueError as exc:
        raise ValueError(
            f"{year:04d}-{month:02d}-{day:02d} is not a day of the calendar."
        ) from exc


def _in_utc(moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError) as exc:
        raise ValueError(f"{moment.isoformat()} is out of range.") from exc
