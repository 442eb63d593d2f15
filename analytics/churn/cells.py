"""One text cell as a blank, a number, a day or an outcome, whoever wrote the file."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", "\\n", ".")
)
POSITIVE = frozenset(
    ("1", "1.0", "yes", "y", "true", "t", "churn", "churned", "exited", "left", "lost")
) | frozenset(
    ("attrited", "attrited customer", "cancelled", "canceled", "leave", "inactive")
)
NEGATIVE = frozenset(
    ("0", "0.0", "-1", "no", "n", "false", "f", "stayed", "retained", "active")
) | frozenset(("existing customer", "existing", "stay", "current", "not churned"))

_PLAIN = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_DRESSED = re.compile(r"^([+-]?)[$€£¥]?\s*([+-]?[\d.,'\s ]+)\s*[%€$£]?$")
_THOUSANDS = re.compile(r"^[+-]?\d{1,3}([,' ]\d{3})+(\.\d+)?$")
_EUROPEAN = re.compile(r"^[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+$")
_DATE_LIKE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^[A-Za-z]{3}\s+\d|^\d{8}$")
_DAY_FORMATS = (
    "%Y/%m/%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%Y.%m.%d",
    "%b %d, %Y",
    "%b %d %Y",
)
_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=65_536)
def is_missing(cell: str) -> bool:
    """True for a blank or one of the usual words for it."""
    return cell.strip().casefold() in MISSING


@lru_cache(maxsize=262_144)
def parse_number(cell: str) -> float | None:
    """The number in the cell, also with thousands marks, currency or per cent sign.

    "1.234,5" is 1234.5. None for a blank, for infinity and for anything else.
    """
    text = cell.strip()
    if _PLAIN.match(text):
        value = float(text)
        return value if abs(value) < 1e300 else None
    dressed = _DRESSED.match(text)
    if not dressed:
        return None
    text = dressed[1] + dressed[2].strip()
    if _THOUSANDS.match(text):
        text = re.sub(r"[,' ]", "", text)
    elif _EUROPEAN.match(text):
        text = text.replace(".", "").replace(",", ".")
    return float(text) if _PLAIN.match(text) else None


@lru_cache(maxsize=65_536)
def parse_date(cell: str) -> float | None:
    """Days since 1970-01-01 UTC with a fraction for the hour; None if not a date.

    ISO 8601 first, then day-first and month-first forms; the first that fits counts.
    """
    text = cell.strip()
    if not _DATE_LIKE.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError:
        return _other_date(text)
    return _days(moment)


def parse_days(
    cells: list[str], *, like: list[str] | None = None
) -> list[float | None]:
    """The same for a whole column, where one reading must fit all cells.

    03/04/2024 is 3 April unless another cell (03/25/2024) forbids it; `like` are cells
    that decide the reading in place of `cells`. Numbers are Unix seconds or
    milliseconds, yyyymmdd, or plain day numbers, by their size.
    """
    judges = cells if like is None else like
    first = next((cell for cell in judges if not is_missing(cell)), "")
    if parse_date(first) is None and parse_number(first) is not None:
        return [_number_as_days(cell) for cell in cells]
    day_first = _column_is_day_first(judges)
    return [_parse_slashed(cell, day_first=day_first) for cell in cells]


def _parse_slashed(cell: str, *, day_first: bool) -> float | None:
    match = re.match(r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(\D.*)?$", cell)
    if not match:
        return parse_date(cell)
    day, month = (match[1], match[2]) if day_first else (match[2], match[1])
    year = match[3] if len(match[3]) == 4 else "20" + match[3]
    try:
        return float((date(int(year), int(month), int(day)) - _EPOCH).days)
    except ValueError:
        return None


def _column_is_day_first(cells: list[str]) -> bool:
    first = second = 0
    for cell in cells:
        match = re.match(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d", cell)
        if match:
            first += int(match[1]) > 12
            second += int(match[2]) > 12
    return first >= second


def _number_as_days(cell: str) -> float | None:
    number = parse_number(cell)
    if number is None:
        return None
    if 19_000_101 <= number <= 29_991_231:
        return parse_date(str(int(number)))
    if number > 1e11:
        return number / 86_400_000
    return number / 86_400 if number > 1e7 else number


def _other_date(text: str) -> float | None:
    head = text.split("T", maxsplit=1)[0]
    for candidate in (text, head, head.split(" ", maxsplit=1)[0]):
        for form in _DAY_FORMATS:
            try:
                return _days(datetime.strptime(candidate, form))  # noqa: DTZ007
            except ValueError:
                continue
    return None


def _days(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp() / 86_400
