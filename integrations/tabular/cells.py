"""What the cells of a column are: guessed over a sample, then read by one rule.

A `Kind` is JSON-safe, is shown to a person before the first run, and says exactly how
each cell is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from churnguard.errors import RecordError

NULLS = frozenset({"", "null", "none", "nan", "n/a", "na", "\\n", "-"})
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)$")
_POINT = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d+)?$")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$")
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "CHF": "CHF"}
_MONEY = re.compile(
    r"(?P<sign>-)?\s*(?P<before>[$€£¥₹]|[A-Z]{3})?\s*(?P<number>[+-]?[\d.,' ]+)\s*"
    r"(?P<after>[$€£¥₹]|[A-Z]{3})?$"
)
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?"
    r"( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
)
_PARTS = re.compile(
    r"(?P<a>\d{1,2})(?P<s>[/.\-])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"
    r"(?:[ T,]+(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?)\s*(?P<half>[AaPp][Mm])?)?$"
)
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})(.*)$")
_WORDED = re.compile(
    r"^(?:\d{1,2} [A-Za-z]{3,9},? \d{4}|[A-Za-z]{3,9} \d{1,2},? \d{4})"
)
_WORDED_FORMATS = ("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y")
_TIME_WORDS = re.compile(r"(^|_)(date|time|ts|at|on|timestamp|created|updated)(_|$)")
MISFITS = 0.05
"""Share of a sample's cells that may not fit the kind of their column."""
_EPOCH_FROM, _EPOCH_TO = 631_152_000, 4_102_444_800


class Kind(msgspec.Struct, frozen=True, omit_defaults=True):
    """type: string, integer, number, boolean, datetime, date or json. order: of a
    date's parts: iso, dmy, mdy, ymd, words, epoch_s, epoch_ms. decimal: "." or ",".
    currency: seen beside the numbers. is_ambiguous: the sample fits more than one
    order, so a person should look."""

    type: str = "string"
    order: str = ""
    decimal: str = ""
    currency: str = ""
    is_ambiguous: bool = False


def guess(name: str, values: Iterable[Any]) -> Kind:
    """The kind that fits every value of the sample that is not empty."""
    texts: list[str] = []
    for value in values:
        if isinstance(value, (dict, list)):
            return Kind("json")
        if isinstance(value, bool):
            texts.append("true" if value else "false")
        elif value is not None and str(value).strip().lower() not in NULLS:
            texts.append(str(value).strip())
    if not texts:
        return Kind("string")
    return _guess_texts(name, texts) or _guess_most(name, texts) or Kind("string")


def reader(kind: Kind, zone: str = "UTC") -> Callable[[Any], Any]:
    """A function that reads one cell: None for an empty one, else the value.

    It raises RecordError where the cell does not fit the kind. Times without a zone
    are in `zone`; all times come out in UTC.
    """
    read = {
        "integer": _read_integer(kind.decimal or "."),
        "number": _read_number(kind.decimal or "."),
        "boolean": _read_boolean,
        "datetime": _read_time(kind.order or "iso", ZoneInfo(zone)),
        "date": _read_time(kind.order or "iso", ZoneInfo(zone)),
    }.get(kind.type, _read_string)

    def cell(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, str):
            value = value.strip()
            if value.lower() in NULLS:
                return None
        return read(value)

    return cell


def _guess_texts(name: str, texts: list[str]) -> Kind | None:
    for attempt in (_guess_boolean, _guess_epoch, _guess_number, _guess_time):
        found = attempt(_plain(name), texts)
        if found is not None:
            return found
    return None


def _guess_most(name: str, texts: list[str]) -> Kind | None:
    """The kind of nearly all cells: a few that are broken do not make a date a text."""
    looks = [_look(text) for text in texts]
    look, count = Counter(looks).most_common(1)[0]
    if not look or len(texts) - count > max(1, MISFITS * len(texts)) or count < 10:
        return None
    same = [text for text, each in zip(texts, looks, strict=True) if each == look]
    return _guess_texts(name, same)


def _look(text: str) -> str:
    if _ISO.match(text):
        return "iso"
    if _YEAR_FIRST.match(text):
        return "year first"
    if _WORDED.match(text):
        return "words"
    parts = _PARTS.match(text)
    if parts is not None:
        low, high = sorted((int(parts["a"]), int(parts["b"])))
        return "parts" if low <= 12 and high <= 31 else ""
    return "number" if _MONEY.match(text) else ""


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _guess_boolean(name: str, texts: list[str]) -> Kind | None:
    lowered = {text.lower() for text in texts}
    if not lowered <= _TRUE | _FALSE:
        return None
    looks_so = name.startswith(("is_", "has_")) or name.endswith("_flag")
    if lowered <= {"0", "1"} and not looks_so:
        return None
    return Kind("boolean")


def _guess_epoch(name: str, texts: list[str]) -> Kind | None:
    if not _TIME_WORDS.search(name):
        return None
    if not all(text.isascii() and text.isdigit() for text in texts):
        return None
    numbers = [int(text) for text in texts]
    if all(_EPOCH_FROM <= number < _EPOCH_TO for number in numbers):
        return Kind("datetime", order="epoch_s")
    if all(_EPOCH_FROM <= number / 1000 < _EPOCH_TO for number in numbers):
        return Kind("datetime", order="epoch_ms")
    return None


def _guess_number(name: str, texts: list[str]) -> Kind | None:
    bare, currencies = [], set()
    for text in texts:
        found = _MONEY.match(text)
        if found is None:
            return None
        mark = found["before"] or found["after"] or ""
        if mark:
            currencies.add(_SYMBOLS.get(mark, mark))
        bare.append((found["sign"] or "") + re.sub(r"[' ]", "", found["number"]))
    currency = currencies.pop() if len(currencies) == 1 else ""
    if all(_INTEGER.match(text) for text in bare):
        return Kind("integer", currency=currency)
    is_code = any(t.lstrip("+-").startswith("0") and t.isdigit() for t in bare)
    if is_code and len({len(text) for text in bare}) == 1:
        return None
    points = all(_POINT.match(text) for text in bare)
    commas = all(_COMMA.match(text) for text in bare)
    if points and commas:
        # Only groups of three digits: thousands, whichever mark they use.
        mark = "." if any("," in text for text in bare) else ","
        has_marks = any("," in t or "." in t for t in bare)
        kind = "integer" if has_marks else "number"
        return Kind(kind, decimal=mark, currency=currency)
    if points:
        whole = not any("." in text or "e" in text.lower() for text in bare)
        return Kind("integer" if whole else "number", decimal=".", currency=currency)
    if commas:
        whole = not any("," in text for text in bare)
        return Kind("integer" if whole else "number", decimal=",", currency=currency)
    return None


def _guess_time(name: str, texts: list[str]) -> Kind | None:
    del name
    if all(_ISO.match(text) for text in texts):
        days_only = all(len(text) == 10 for text in texts)
        return Kind("date" if days_only else "datetime", order="iso")
    if all(_YEAR_FIRST.match(text) for text in texts):
        return Kind("datetime", order="ymd")
    if all(_WORDED.match(text) for text in texts):
        return Kind("datetime", order="words")
    found = [_PARTS.match(text) for text in texts]
    if not all(found):
        return None
    parts = [match for match in found if match]
    first = max(int(match["a"]) for match in parts)
    second = max(int(match["b"]) for match in parts)
    if (first > 12 and second > 12) or first > 31 or second > 31:
        return None
    kind = "datetime" if any(match["time"] for match in parts) else "date"
    if first > 12:
        return Kind(kind, order="dmy")
    if second > 12:
        return Kind(kind, order="mdy")
    # Nothing in the whole sample decides; dots and dashes are mostly day first.
    order = "mdy" if parts[0]["s"] == "/" else "dmy"
    return Kind(kind, order=order, is_ambiguous=True)


def _read_string(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise RecordError(f"“{value}” is neither true nor false.", code="bad_boolean")


def _read_number(decimal: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        try:
            return float(value)
        except (TypeError, ValueError):
            return float(_bare_number(str(value), decimal))

    if decimal == ",":
        return lambda value: (
            float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else float(_bare_number(str(value), decimal))
        )
    return read


def _read_integer(decimal: str) -> Callable[[Any], int]:
    number = _read_number(decimal)

    def read(value: Any) -> int:
        if isinstance(value, str) and _INTEGER.match(value):
            return int(value)
        found = number(value)
        if found != int(found):
            raise RecordError(f"“{value}” is no whole number.", code="bad_integer")
        return int(found)

    return read


def _bare_number(text: str, decimal: str) -> str:
    found = _MONEY.match(text)
    if found is None:
        raise RecordError(f"“{text}” is no number.", code="bad_number")
    bare = (found["sign"] or "") + re.sub(r"[' ]", "", found["number"])
    pattern = _COMMA if decimal == "," else _POINT
    if not pattern.match(bare):
        raise RecordError(f"“{text}” is no number.", code="bad_number")
    if decimal == ",":
        return bare.replace(".", "").replace(",", ".")
    return bare.replace(",", "")


def _read_time(order: str, zone: ZoneInfo) -> Callable[[Any], datetime]:
    parse = _PARSERS[order]

    def read(value: Any) -> datetime:
        try:
            moment = parse(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            return moment.astimezone(UTC)
        except (TypeError, ValueError, OverflowError) as exc:
            raise RecordError(
                f"“{value}” is no date written as {_ORDER_NAMES[order]}.",
                code="bad_timestamp",
            ) from exc

    return read


def _iso(value: Any) -> datetime:
    text = str(value)
    if text.endswith(" UTC"):
        text = text[:-4] + "+00:00"
    return datetime.fromisoformat(text.replace(",", "."))


def _parts(order: str) -> Callable[[Any], datetime]:
    def parse(value: Any) -> datetime:
        found = _PARTS.match(str(value))
        if found is None:
            raise ValueError(value)
        first, second, year = int(found["a"]), int(found["b"]), int(found["y"])
        day, month = (first, second) if order == "dmy" else (second, first)
        if len(found["y"]) == 2:
            year += 2000 if year < 70 else 1900
        at = datetime(year, month, day)  # noqa: DTZ001 - the zone is set by the caller
        return at + _clock(found["time"] or "", found["half"] or "")

    return parse


def _clock(text: str, half: str) -> timedelta:
    if not text:
        return timedelta()
    hours, minutes, *seconds = text.split(":")
    hour = int(hours)
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    return timedelta(
        hours=hour, minutes=int(minutes), seconds=float(seconds[0]) if seconds else 0
    )


def _year_first(value: Any) -> datetime:
    found = _YEAR_FIRST.match(str(value))
    if found is None:
        raise ValueError(value)
    year, month, day, rest = found.groups()
    return datetime.fromisoformat(f"{year}-{int(month):02d}-{int(day):02d}{rest}")


def _worded(value: Any) -> datetime:
    text = " ".join(str(value).replace(",", " ").split())
    head = " ".join(text.split(" ")[:3])
    for form in _WORDED_FORMATS:
        try:
            at = datetime.strptime(head, form)  # noqa: DTZ007 - set by the caller
        except ValueError:
            continue
        rest = text[len(head) :].strip().split(" ")
        half = rest[1] if len(rest) > 1 else ""
        return at + _clock(rest[0], half)
    raise ValueError(value)


_PARSERS: dict[str, Callable[[Any], datetime]] = {
    "iso": _iso,
    "dmy": _parts("dmy"),
    "mdy": _parts("mdy"),
    "ymd": _year_first,
    "words": _worded,
    "epoch_s": lambda value: datetime.fromtimestamp(float(value), UTC),
    "epoch_ms": lambda value: datetime.fromtimestamp(float(value) / 1000, UTC),
}
_ORDER_NAMES = {
    "iso": "year-month-day",
    "dmy": "day, month, year",
    "mdy": "month, day, year",
    "ymd": "year/month/day",
    "words": "a day with the month's name",
    "epoch_s": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
}
