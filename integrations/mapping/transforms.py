"""The small changes a mapping rule may make to a value.

`TRANSFORMS` is the whole list: kind -> (parameters, builder). A built transform takes
the values of the rule's sources and the whole raw object, and gives one value or None
for "nothing there". It raises ValueError with a sentence for a value it cannot use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from churnguard.currencies import minor_places
from integrations.mapping.dates import UNITS, parse_time, show, zone_of
from integrations.mapping.paths import getter

Params = Mapping[str, Any]
Transform = Callable[[list[Any], Mapping[str, Any]], Any]

# "1e999999999" is valid text for a number that no memory holds.
MAX_DIGITS = 40

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "off"})

_SYMBOLS = re.compile(r"[\s\u00a0\u202f'’_$€£¥₹]|^[A-Z]{3}|[A-Z]{3}$")


@dataclass(frozen=True, slots=True)
class Kind:
    """A transform for people: its sentence, its parameters, how it is built.

    params: name -> what it must be. many: it takes several sources.
    """

    summary: str
    build: Callable[[Params], Transform]
    params: Mapping[str, str]
    required: tuple[str, ...] = ()
    many: bool = False


def is_empty(value: Any) -> bool:
    """What counts as "nothing there": None, blank text, empty list or object."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, (list, dict)) and not value


def to_decimal(value: Any, *, decimal: str = ".") -> Decimal:
    """A number from numbers and texts such as "1,234.50", "1.234,50" (decimal=","),
    "€ 12", "(12.00)" and "15 %". Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise ValueError(f"{show(value)} is not a number.")
    if not isinstance(value, str):
        number = Decimal(str(value))
    else:
        text = _SYMBOLS.sub("", value.strip()).rstrip("%")
        if text.startswith("(") and text.endswith(")"):
            text = f"-{text[1:-1]}"
        thousands = "," if decimal == "." else "."
        whole, point, part = text.partition(decimal)
        text = whole.replace(thousands, "") + ("." + part if point else "")
        try:
            number = Decimal(text)
        except InvalidOperation as exc:
            raise ValueError(f"{show(value)} is not a number.") from exc
    if not number.is_finite() or number.adjusted() > MAX_DIGITS:
        raise ValueError(f"{show(value)} is not a usable number.")
    return number


def to_bool(
    value: Any,
    *,
    true: frozenset[str] = TRUE_WORDS,
    false: frozenset[str] = FALSE_WORDS,
) -> bool:
    """True or false from booleans, 0, 1 and the usual words. Raises ValueError."""
    text = str(value).strip().lower()
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    if text in true:
        return True
    if text in false:
        return False
    raise ValueError(f"{show(value)} is neither true nor false.")


def to_text(value: Any) -> str:
    """Text as people write it: true, 12 (not 12.0). Raises ValueError for objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (dict, list, bytes)):
        raise ValueError(f"{show(value)} is not text.")
    return str(value)


def _each(change: Callable[[Any], Any]) -> Transform:
    """A transform of the first value; nothing stays nothing."""

    def run(values: list[Any], _raw: Mapping[str, Any]) -> Any:
        value = values[0] if values else None
        return None if is_empty(value) else change(value)

    return run


def _rename(_params: Params) -> Transform:
    def run(values: list[Any], _raw: Mapping[str, Any]) -> Any:
        return values[0] if values else None

    return run


def _constant(params: Params) -> Transform:
    value = params["value"]
    return lambda _values, _raw: value


def _lower(_params: Params) -> Transform:
    return _each(lambda value: to_text(value).lower())


def _upper(_params: Params) -> Transform:
    return _each(lambda value: to_text(value).upper())


def _trim(_params: Params) -> Transform:
    return _each(lambda value: to_text(value).strip())


def _prefix(params: Params) -> Transform:
    prefix = str(params["value"])
    return _each(lambda value: prefix + to_text(value))


def _date(params: Params) -> Transform:
    zone = zone_of(str(params.get("zone") or "UTC"))
    formats = tuple(map(str, params.get("formats") or ()))
    unit = str(params.get("unit") or "")
    if unit and unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}.")
    day_first = params.get("day_first")
    return _each(
        lambda value: parse_time(
            value, zone=zone, formats=formats, day_first=day_first, unit=unit
        )
    )


def _number(params: Params) -> Transform:
    decimal = _decimal_mark(params)
    as_integer = bool(params.get("integer"))

    def change(value: Any) -> int | float:
        number = to_decimal(value, decimal=decimal)
        if as_integer or number == number.to_integral_value():
            whole = number.to_integral_value(ROUND_HALF_UP)
            if abs(whole) < 2**63:
                return int(whole)
        return float(number)

    return _each(change)


def _money(params: Params) -> Transform:
    """Whole minor units; the currency says how many decimals it has."""
    decimal = _decimal_mark(params)
    fixed = str(params.get("currency") or "").upper()
    from_source = getter(str(params.get("currency_source") or ""))
    has_source = bool(params.get("currency_source"))
    unit = params.get("unit") or "major"
    if unit not in ("major", "minor"):
        raise ValueError('unit must be "major" or "minor".')

    def run(values: list[Any], raw: Mapping[str, Any]) -> int | None:
        value = values[0] if values else None
        if is_empty(value):
            return None
        found = from_source(raw) if has_source else None
        currency = str(found or fixed).upper()
        places = 0 if unit == "minor" else minor_places(currency)
        number = to_decimal(value, decimal=decimal).scaleb(places)
        whole = int(number.to_integral_value(ROUND_HALF_UP))
        if abs(whole) >= 2**63:
            raise ValueError(f"{show(value)} is too large for an amount.")
        return whole

    return run


def _boolean(params: Params) -> Transform:
    true = _words(params, "true", TRUE_WORDS)
    false = _words(params, "false", FALSE_WORDS)
    return _each(lambda value: to_bool(value, true=true, false=false))


def _lookup(params: Params) -> Transform:
    """Unknown values: `default` if given (also null), the value itself with `keep`,
    else an error, so that nothing slips in unseen."""
    table = params["table"]
    if not isinstance(table, Mapping):
        raise ValueError("table must be an object of source value -> our value.")
    fold = params.get("ignore_case", True)
    rows = {_key(name, fold): value for name, value in table.items()}

    def change(value: Any) -> Any:
        key = _key(to_text(value), fold)
        if key in rows:
            return rows[key]
        if "default" in params:
            return params["default"]
        if params.get("keep"):
            return value
        raise ValueError(f"{show(value)} is not in the lookup table.")

    return _each(change)


def _first_non_empty(_params: Params) -> Transform:
    def run(values: list[Any], _raw: Mapping[str, Any]) -> Any:
        return next((value for value in values if not is_empty(value)), None)

    return run


def _join(params: Params) -> Transform:
    separator = str(params.get("separator", " "))

    def run(values: list[Any], _raw: Mapping[str, Any]) -> str | None:
        if len(values) == 1 and isinstance(values[0], list):
            values = values[0]
        parts = [to_text(value).strip() for value in values if not is_empty(value)]
        return separator.join(parts) or None

    return run


def _split(params: Params) -> Transform:
    separator = str(params["separator"])
    index = params.get("index", 0)
    if not separator or isinstance(index, bool) or not isinstance(index, int):
        raise ValueError("separator must be text, index a whole number.")

    def change(value: Any) -> str | None:
        parts = to_text(value).split(separator)
        if -len(parts) <= index < len(parts):
            return parts[index].strip() or None
        return None

    return _each(change)


def _decimal_mark(params: Params) -> str:
    mark = params.get("decimal", ".")
    if mark not in (".", ","):
        raise ValueError('decimal must be "." or ",".')
    return str(mark)


def _words(params: Params, name: str, default: frozenset[str]) -> frozenset[str]:
    given = params.get(name)
    if given is None:
        return default
    given = given if isinstance(given, (list, tuple)) else [given]
    return frozenset(str(word).strip().lower() for word in given)


def _key(text: str, fold: Any) -> str:
    return text.strip().casefold() if fold else text


_CURRENCY = {
    "currency": "text",
    "currency_source": "text",
    "unit": "text",
    "decimal": "text",
}
_DATE = {"formats": "list", "zone": "text", "day_first": "bool", "unit": "text"}
_LOOKUP = {"table": "object", "default": "any", "keep": "bool", "ignore_case": "bool"}

TRANSFORMS: dict[str, Kind] = {
    "rename": Kind("Take the value as it is", _rename, {}),
    "constant": Kind("Always this value", _constant, {"value": "any"}, ("value",)),
    "lower": Kind("In small letters", _lower, {}),
    "upper": Kind("In capital letters", _upper, {}),
    "trim": Kind("Without blanks around it", _trim, {}),
    "prefix": Kind("With text before it", _prefix, {"value": "text"}, ("value",)),
    "date": Kind("As a date or time", _date, _DATE),
    "number": Kind("As a number", _number, {"decimal": "text", "integer": "bool"}),
    "money": Kind("As an amount of money", _money, _CURRENCY),
    "boolean": Kind("As yes or no", _boolean, {"true": "any", "false": "any"}),
    "lookup": Kind("From a table of values", _lookup, _LOOKUP, ("table",)),
    "first_non_empty": Kind("First that has a value", _first_non_empty, {}, many=True),
    "join": Kind("Joined to one text", _join, {"separator": "text"}, many=True),
    "split": Kind(
        "One part of the text",
        _split,
        {"separator": "text", "index": "int"},
        ("separator",),
    ),
}
