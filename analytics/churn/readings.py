"""How a whole column of text is read as numbers or as moments.

One reading must fit all cells of a column, and the cells of a later file are read as
those of the first were: decide with `number_reading` or `date_reading`, then apply.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analytics.churn.cells import is_missing, parse_date, slashed_parts

FloatArray = NDArray[np.float64]

JUDGES = 20_000
"""So many different cells decide on a reading."""
_MONEY = (
    r"(?:[$€£¥₹₩₽₺]|R\$|Rs\.?|kr\.?|USD|EUR|GBP|CHF|JPY|INR|BRL|CAD|AUD|NZD|SEK|NOK|"
    r"DKK|PLN|CZK|CNY|ZAR|MXN)"
)
_DRESSED = re.compile(
    rf"^([(]?)\s*([+\-−]?)\s*{_MONEY}?\s*([+\-−]?)\s*"
    rf"((?:\d|[.,](?=\d))[\d.,'’\s]*(?:[eE][+-]?\d+)?)\s*(-?)"
    rf"({_MONEY}|%|[^\W\d_]{{1,12}}\.?)?\s*([)]?)$",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"^(\d{1,4}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?$")
_MONEY_ONLY = re.compile(rf"^(?:{_MONEY}|%)$", re.IGNORECASE)
_SIZES = {"k": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9}
_DOT_THOUSANDS = re.compile(r"^\d{1,3}(\.\d{3})+$")
_COMMA_THOUSANDS = re.compile(r"^\d{1,3}(,\d{2,3})*,\d{3}$")
LARGEST = 1e30
"""Beyond it a number is cut off: its square and cube must stay finite."""


@dataclass(frozen=True, slots=True)
class NumberReading:
    """The decimal mark, and the unit word that may follow a number ("" for none)."""

    decimal: str = "."
    unit: str = ""


@dataclass(frozen=True, slots=True)
class DateReading:
    """`form` is "text" or the kind of number: "s", "ms", "us", "ns", "yyyymmdd",
    "yyyymm", "yyyymmddhhmmss", "serial" (spreadsheet days since 1899-12-30) or "day"
    (whole days since 1970-01-01)."""

    form: str = "text"
    day_first: bool = True
    is_certain: bool = True
    """False where no cell showed whether the day or the month comes first."""


def number_reading(cells: Iterable[str]) -> NumberReading:
    """The reading under which these cells make most sense as numbers.

    "1,234" is 1234 unless a neighbour such as "0,5" shows that the comma is a decimal
    mark; "1.234" is 1.234 unless a neighbour such as "1.234,50" shows the opposite.
    """
    bodies: list[str] = []
    units: Counter[str] = Counter()
    for cell in _judges(cells):
        match = _DRESSED.match(cell)
        if match:
            bodies.append(re.sub(r"['’\s]", "", match[4]))
            units[_unit(match[6])] += 1
    unit = ""
    if units:
        word, count = units.most_common(1)[0]
        unit = word if count >= 0.9 * units.total() else ""
    return NumberReading("," if _comma_is_decimal(bodies) else ".", unit)


def may_be_thousands(cells: Iterable[str]) -> bool:
    """False where some plain number shows at once that its dot is a decimal mark."""
    for cell in cells:
        text = cell.strip().lstrip("+-")
        if "." in text or len(text) > 3:
            dotted = _DOT_THOUSANDS.match(text) and not text.startswith("0")
            if not dotted and not is_missing(text):
                return False
    return True


def read_number(cell: str, reading: NumberReading) -> float | None:
    """The number in the cell; None for a blank and for anything else."""
    if reading.decimal == ".":
        try:
            value = float(cell)
        except ValueError:
            pass
        else:
            # Excludes nan, inf and "1_000", which float() takes too.
            plain = abs(value) < np.inf and "_" not in cell
            return max(-LARGEST, min(LARGEST, value)) if plain else None
    match = _DRESSED.match(cell.strip())
    if match is None:
        return _clock_seconds(cell.strip())
    unit = _unit(match[6])
    if unit and unit != reading.unit and unit not in _SIZES:
        return None
    if bool(match[1]) != bool(match[7]):
        return None
    body = re.sub(r"['’\s]", "", match[4])
    size = _plain_number(body, reading.decimal)
    if size is None:
        return None
    signs = (match[2], match[3], match[5])
    negative = bool(match[1]) or any(sign in "-−" and sign for sign in signs)
    return (-size if negative else size) * _SIZES.get(unit, 1.0)


def read_numbers(cells: Sequence[str], reading: NumberReading) -> FloatArray:
    """(n,), NaN where a cell holds no number."""
    known: dict[str, float] = {}
    values = np.empty(len(cells))
    for place, cell in enumerate(cells):
        value = known.get(cell)
        if value is None:
            found = read_number(cell, reading)
            value = float("nan") if found is None else found
            if len(known) < JUDGES:
                known[cell] = value
        values[place] = value
    return values


def date_reading(cells: Iterable[str]) -> DateReading | None:
    """The reading for these cells; None where most of them are no moments."""
    judges = _judges(cells)
    if not judges:
        return None
    # "12:30:00" can be read as a number, but names no day.
    plain = (cell for cell in judges if ":" not in cell)
    numbers = [read_number(cell, NumberReading()) for cell in plain]
    known = np.array([number for number in numbers if number is not None])
    if len(known) > 0.5 * len(judges):
        return DateReading(_number_form(known))
    first = second = 0
    order: list[tuple[int, int]] = []
    for cell in judges:
        parts = slashed_parts(cell)
        if parts:
            order.append(parts)
            first += parts[0] > 12
            second += parts[1] > 12
    day_first = first > second if first != second else _runs_by_day_first(judges)
    reading = DateReading("text", day_first, not order or first != second)
    fits = sum(parse_date(cell, day_first=day_first) is not None for cell in judges)
    return reading if fits > 0.5 * len(judges) else None


def read_dates(cells: Sequence[str], reading: DateReading) -> FloatArray:
    """Days since 1970-01-01 UTC with a fraction (n,); NaN where there is no moment."""
    if reading.form != "text":
        return _numbers_as_days(read_numbers(cells, NumberReading()), reading.form)
    found = (parse_date(cell, day_first=reading.day_first) for cell in cells)
    return np.array([np.nan if day is None else day for day in found])


def _judges(cells: Iterable[str]) -> list[str]:
    seen: dict[str, None] = {}
    for cell in cells:
        if cell not in seen and not is_missing(cell):
            seen[cell] = None
            if len(seen) >= JUDGES:
                break
    return list(seen)


def _unit(text: str | None) -> str:
    """The word behind a number without its plural; "" for money and per cent."""
    if not text or _MONEY_ONLY.match(text):
        return ""
    word = text.casefold().rstrip(".")
    return word[:-1] if len(word) > 2 and word.endswith("s") else word


def _comma_is_decimal(bodies: list[str]) -> bool:
    comma = dot = 0
    dotted_thousands = short_plain = other = 0
    for body in bodies:
        if "," in body and "." in body:
            comma += body.rfind(",") > body.rfind(".")
            dot += body.rfind(".") > body.rfind(",")
        elif body.count(",") == 1 and not _COMMA_THOUSANDS.match(body):
            comma += 1
        elif "," in body:
            dot += body.count(",") > 1
        elif body.count(".") > 1 and _DOT_THOUSANDS.match(body):
            comma += 1
        elif _DOT_THOUSANDS.match(body) and not body.startswith("0"):
            dotted_thousands += 1
        elif "." not in body and len(body) <= 3:
            short_plain += 1
        else:
            other += 1
    if comma != dot:
        return comma > dot
    # 980, 1.204, 12.500: never four digits in a row, always three after the dot.
    return dotted_thousands >= 3 and short_plain >= 1 and not other


def _plain_number(body: str, decimal: str) -> float | None:
    if decimal == ",":
        body = body.replace(".", "").replace(",", ".")
    elif "," in body:
        if not re.match(r"^\d{1,3}(,\d{2,3})*,\d{3}(\.\d*)?$", body):
            # One odd cell "3,5" in a column of plain numbers is still a number.
            body = body.replace(",", ".") if body.count(",") == 1 else "x"
        body = body.replace(",", "")
    try:
        value = float(body)
    except ValueError:
        return None
    return max(-LARGEST, min(LARGEST, value)) if abs(value) < np.inf else None


def _clock_seconds(text: str) -> float | None:
    match = _CLOCK.match(text)
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3] or 0)


def _number_form(numbers: FloatArray) -> str:
    middle = float(np.median(numbers))
    whole = bool(np.all(numbers == np.floor(numbers)))
    low, high = np.quantile(numbers, [0.01, 0.99])
    if whole and low >= 19_000_101 and high <= 29_991_231:
        return "yyyymmdd"
    months = numbers % 100
    are_months = bool(whole and months.min() >= 1 and months.max() <= 12)
    if are_months and low >= 190_001 and high <= 299_912:
        return "yyyymm"
    if whole and low >= 19_000_101_000_000 and high <= 29_991_231_235_959:
        return "yyyymmddhhmmss"
    for form, least in (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e8)):
        if middle >= least:
            return form
    return "serial" if 32_000 <= middle <= 60_000 else "day"


def _numbers_as_days(numbers: FloatArray, form: str) -> FloatArray:
    sizes = {"s": 86_400.0, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9, "day": 1.0}
    if form == "serial":
        return numbers - 25_569
    if form in sizes:
        return numbers / sizes[form]
    digits = len(form)
    days = np.full(len(numbers), np.nan)
    for place, number in enumerate(numbers):
        if np.isfinite(number) and number > 0:
            text = f"{int(number):0{digits}d}"
            stamp = f"{text[:4]}-{text[4:6]}-{text[6:8] or '01'}"
            if digits == 14:
                stamp += f"T{text[8:10]}:{text[10:12]}:{text[12:14]}"
            day = parse_date(stamp)
            days[place] = np.nan if day is None else day
    return days


def _runs_by_day_first(judges: list[str]) -> bool:
    """Where both readings fit: the one under which the file runs in order of time."""
    back = {}
    for day_first in (True, False):
        days = [parse_date(cell, day_first=day_first) for cell in judges[:2000]]
        known = [day for day in days if day is not None]
        back[day_first] = sum(b < a for a, b in pairwise(known))
    return back[True] <= back[False]
