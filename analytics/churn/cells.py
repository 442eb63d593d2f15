"""One text cell as a blank, a truth value or a moment, whoever wrote the file.

Numbers and dates are read a column at a time in `readings`, because "1.234" and
"03/04/2024" mean something only beside their neighbours.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", "\\n", ".")
) | frozenset(
    [
        "nat",
        "<na>",
        "(null)",
        "(blank)",
        "#null!",
        "#div/0!",
        "#value!",
        "#ref!",
        "#num!",
        "#name?",
        "[]",
        "{}",
        "inf",
        "-inf",
        "+inf",
        "infinity",
        "-infinity",
        "1.#inf",
        "1.#qnan",
        "undefined",
        "missing",
        "n.a.",
        "#n/a",
    ]
)
TRUE_WORDS = frozenset(("yes", "y", "true", "t", "on", "1", "1.0"))
FALSE_WORDS = frozenset(("no", "n", "false", "f", "off", "0", "0.0"))

_MONTHS = {
    name: number
    for number, names in enumerate(
        [
            "jan",
            "feb",
            "mar mär mrz",
            "apr",
            "may mai",
            "jun",
            "jul",
            "aug",
            "sep",
            "oct okt",
            "nov",
            "dec dez",
        ],
        start=1,
    )
    for name in names.split()
}
_NUMERIC = re.compile(r"^(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?=\D|$)(.*)$", re.DOTALL)
_DAY_NAME = re.compile(
    r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+",
    re.IGNORECASE,
)
_DAY_MONTH = re.compile(
    r"^(\d{1,2})(?:st|nd|rd|th)?\.?[-\s/]*([^\W\d]{3,9})\.?[-\s,/']+(\d{4}|\d{2})"
    r"(?=\D|$)(.*)$"
)
_MONTH_DAY = re.compile(
    r"^([^\W\d]{3,9})\.?\s*(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})(?=\D|$)(.*)$"
)
_C_TIME = re.compile(
    r"^([^\W\d]{3})\s+(\d{1,2})\s+([\d:]{7,8})\s+(?:[A-Z]{3,4}\s+)?(\d{4})$"
)
_MONTH_YEAR = re.compile(r"^([^\W\d]{3,9})[-\s,/']+(\d{4}|\d{2})$")
_YEAR_MONTH = re.compile(r"^(\d{4})[-/](\d{1,2})$")
_QUARTER = re.compile(r"^(\d{4})[-/ ]?[qQ]([1-4])$")
_CLOCK = re.compile(
    r"^[\sT,]*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([AaPp])?\.?(?:[Mm]\.?)?\s*"
    r"(Z|UTC|GMT|[+-]\d{2}:?\d{2})?\s*(?:\([A-Z]+\))?$"
)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CENTURY_PIVOT = 70


@lru_cache(maxsize=65_536)
def is_missing(cell: str) -> bool:
    """True for a blank, one of the usual words for it, or an infinity."""
    return cell.strip().casefold() in MISSING


@lru_cache(maxsize=65_536)
def parse_date(cell: str, *, day_first: bool = True) -> float | None:
    """Days since 1970-01-01 UTC with a fraction for the hour; None if not a date.

    ISO 8601, numeric dates with the year first or last, and English or German month
    names; `day_first` reads 03/04/2024 as 3 April.
    """
    text = cell.strip()
    if len(text) < 6 or text.isdigit():
        return None
    if text[:4].isdigit():
        try:
            return days_of(datetime.fromisoformat(text))
        except ValueError:
            pass
    try:
        return _numeric_date(text, day_first) or _named_date(text)
    except (ValueError, OverflowError):
        return None


def slashed_parts(cell: str) -> tuple[int, int] | None:
    """The first two numbers of a date that ends with its year."""
    match = _NUMERIC.match(cell.strip())
    if match is None or len(match[1]) > 2 or len(match[4]) not in (2, 4):
        return None
    return int(match[1]), int(match[3])


def days_of(moment: datetime) -> float:
    """Days since 1970-01-01 UTC; a moment without a zone is taken as UTC."""
    offset = moment.utcoffset()
    if offset is not None:
        moment = (moment - offset).replace(tzinfo=UTC)
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    return moment.toordinal() - _EPOCH_ORDINAL + seconds / 86_400


def _numeric_date(text: str, day_first: bool) -> float | None:
    match = _NUMERIC.match(text)
    if match is None:
        return None
    first, middle, last, rest = match[1], int(match[3]), match[4], match[5]
    if len(first) == 4 and len(last) <= 2:
        return _moment(int(first), middle, int(last), rest)
    if len(first) > 2 or len(last) not in (2, 4):
        return None
    day, month = (int(first), middle) if day_first else (middle, int(first))
    return _moment(_full_year(last), month, day, rest)


def _named_date(text: str) -> float | None:
    text = _DAY_NAME.sub("", text)
    if match := _DAY_MONTH.match(text):
        return _moment(_full_year(match[3]), _month(match[2]), int(match[1]), match[4])
    if match := _MONTH_DAY.match(text):
        return _moment(int(match[3]), _month(match[1]), int(match[2]), match[4])
    if match := _C_TIME.match(text):
        return _moment(int(match[4]), _month(match[1]), int(match[2]), match[3])
    if match := _MONTH_YEAR.match(text):
        return _moment(_full_year(match[2]), _month(match[1]), 1, "")
    if match := _YEAR_MONTH.match(text):
        return _moment(int(match[1]), int(match[2]), 1, "")
    if match := _QUARTER.match(text):
        return _moment(int(match[1]), int(match[2]) * 3 - 2, 1, "")
    return None


def _moment(year: int, month: int, day: int, clock: str) -> float | None:
    """Days since 1970; None where the rest of the cell is no time of day."""
    if not clock.strip():
        return days_of(datetime(year, month, day, tzinfo=UTC))
    match = _CLOCK.match(clock)
    if match is None:
        return None
    hour = int(match[1])
    if match[4]:
        hour = hour % 12 + 12 * (match[4] in "pP")
    zone = UTC
    if match[5] and match[5][0] in "+-":
        digits = match[5][1:].replace(":", "")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        zone = timezone(offset if match[5][0] == "+" else -offset)
    second = int(match[3] or 0)
    return days_of(datetime(year, month, day, hour, int(match[2]), second, tzinfo=zone))


def _month(name: str) -> int:
    """1 to 12; raises ValueError for another word."""
    number = _MONTHS.get(name[:3].casefold())
    if number is None:
        raise ValueError(name)
    return number


def _full_year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= _CENTURY_PIVOT else 2000)
