"""From a dict of our field names to a record, with the types put right."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP
from typing import Any

import msgspec

from churnguard.errors import ConfigError, RecordError
from churnguard.records import RECORD_TYPES, AnyRecord, EventRecord, Record
from integrations.mapping.dates import parse_time, show
from integrations.mapping.transforms import is_empty, to_bool, to_decimal, to_text

UNFIT = (ValueError, TypeError, ArithmeticError, AttributeError)
"""What a value that cannot be used raises."""


def record_from_mapping(
    values: Mapping[str, Any], record_type: str, *, raw: dict[str, Any] | None = None
) -> AnyRecord:
    """The record of that type. Numbers in texts, dates and yes/no are understood.

    raw: kept as the record's raw object (properties of an event, if it has none).
    Raises RecordError with `field` for a value that does not fit, an unknown field or
    a missing id; ConfigError for an unknown record type.
    """
    cls = record_class(record_type)
    converters = _CONVERTERS[record_type]
    fitted: dict[str, Any] = {}
    for name, value in values.items():
        convert = converters.get(name)
        if convert is None:
            raise RecordError(
                f"A {record_type} has no field {name!r}.",
                code="unknown_field",
                field=name,
            )
        if value is not None:
            try:
                fitted[name] = convert(value)
            except UNFIT as exc:
                raise misfit(name, value, exc) from None
    raw_name = "properties" if issubclass(cls, EventRecord) else "raw"
    if raw is not None and not fitted.get(raw_name):
        fitted[raw_name] = raw
    for name in _REQUIRED[record_type]:
        if is_empty(fitted.get(name)):
            raise RecordError(
                f"A {record_type} needs a value for {name}.",
                code="missing_field",
                field=name,
            )
    return cls(**fitted)


def record_class(record_type: str) -> type[Record] | type[EventRecord]:
    """The struct of a record type. ConfigError if there is none."""
    cls = RECORD_TYPES.get(record_type)
    if cls is None:
        raise ConfigError(
            f"{record_type!r} is not a record type; choose one of "
            f"{', '.join(sorted(RECORD_TYPES))}.",
            code="unknown_record_type",
            fields={"record_type": "Not a record type."},
        )
    return cls


def misfit(name: str, value: Any, exc: Exception) -> RecordError:
    """What is wrong with a value of a field, by the exception it caused."""
    reason = str(exc) if isinstance(exc, ValueError) else f"{show(value)} is odd."
    return RecordError(f"{name}: {reason}", code="bad_value", field=name)


def converter_of(record_type: str, name: str) -> Callable[[Any], Any] | None:
    """How values of one field are put right; None for an unknown field."""
    return _CONVERTERS[record_type].get(name)


def scalar_of(record_type: str, name: str) -> type | None:
    """The type whose values the converter of a field leaves as they are (an int within
    64 bits, a finite float, a time in UTC); None where it looks into each."""
    return _SCALAR_OF[record_type].get(name)


def required_fields(record_type: str) -> tuple[str, ...]:
    """Fields that no record does without."""
    return _REQUIRED[record_type]


def _text(value: Any) -> str:
    return value if type(value) is str else to_text(value)


def _whole(value: Any) -> int | None:
    if type(value) is int:
        number = value
    else:
        if is_empty(value):
            return None
        exact = to_decimal(int(value) if isinstance(value, bool) else value)
        if exact != exact.to_integral_value():
            raise ValueError(f"{show(value)} is not a whole number.")
        number = int(exact.to_integral_value(ROUND_HALF_UP))
    if abs(number) >= 2**63:
        raise ValueError(f"{show(value)} is too large.")
    return number


def _real(value: Any) -> float | None:
    if type(value) is float and value - value == 0:
        return value
    return None if is_empty(value) else float(to_decimal(value))


def _flag(value: Any) -> bool | None:
    if type(value) is bool:
        return value
    return None if is_empty(value) else to_bool(value)


def _moment(value: Any) -> datetime | None:
    if type(value) is datetime and value.tzinfo is UTC:
        return value
    return None if is_empty(value) else parse_time(value)


def _shaped(kind: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as exc:
            raise ValueError(f"{show(value)} does not fit: {exc}.") from exc

    return convert


def _taken(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{show(value)} is not an object.")
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    float: _real,
    bool: _flag,
    datetime: _moment,
}


def _converter(kind: Any) -> Callable[[Any], Any]:
    if kind == dict[str, Any]:
        # Taken over as it is: copying the provider's object for a check costs most.
        return _taken
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    kinds = [option for option in options if option is not type(None)]
    return _SCALARS.get(kinds[0]) or _shaped(kind)


def _converters(cls: type[Record] | type[EventRecord]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {name: _converter(hints[name]) for name in cls.__struct_fields__}


_CONVERTERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    name: _converters(cls) for name, cls in RECORD_TYPES.items()
}
_KIND_OF = {convert: kind for kind, convert in _SCALARS.items()} | {_taken: dict}
_SCALAR_OF: dict[str, dict[str, type]] = {
    record_type: {
        name: _KIND_OF[convert]
        for name, convert in converters.items()
        if convert in _KIND_OF
    }
    for record_type, converters in _CONVERTERS.items()
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    name: tuple(field.name for field in msgspec.structs.fields(cls) if field.required)
    for name, cls in RECORD_TYPES.items()
}
