"""A mapping applied to many objects at once, field by field.

The same as mapping them one by one, several times as fast, for objects without a
surprise: what holds a value that has to be refused gives None and is mapped object by
object, which says what is wrong. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from churnguard.records import RECORD_TYPES
from integrations.mapping.dates import parse_time
from integrations.mapping.records import (
    UNFIT,
    converter_of,
    required_fields,
    scalar_of,
)
from integrations.mapping.spec import BAGS, CompiledMapping, Rule
from integrations.mapping.transforms import is_empty

Fields = dict[str, list[Any]]
_MOST_INT = 2**63
_TIME_MARKS = {"T", " "}


def kinds_of(column: Iterable[Any]) -> set[type]:
    """The types of the values that are there."""
    return set(map(type, column)) - {NoneType}


def record_fields(mapping: CompiledMapping, rows: list[Any]) -> Fields | None:
    """The fields of the records that `mapping.record` would make."""
    given = _values(mapping, rows)
    if given is None:
        return None
    fields = _converted(mapping.record_type, given)
    if fields is None or "raw" in fields:
        return None
    for name in required_fields(mapping.record_type):
        if name not in fields or any(map(is_empty, fields[name])):
            return None
    return fields


def laid_over(
    mapping: CompiledMapping, record_type: str, fields: Fields, rows: list[Any]
) -> Fields | None:
    """`fields`, of records whose objects are `rows`, after `mapping.apply`."""
    given = _values(mapping, rows)
    if given is None or "raw" in given:
        return None
    for name in BAGS:
        if name in given and name in fields:
            given[name] = [
                before | (value or {})
                for before, value in zip(fields[name], given[name], strict=True)
            ]
    changes = _converted(record_type, given)
    if changes is None:
        return None
    for name, column in changes.items():
        before = fields.get(name)
        if before is not None and None in column:
            changes[name] = [
                old if value is None else value
                for old, value in zip(before, column, strict=True)
            ]
    return fields | changes


def _values(mapping: CompiledMapping, rows: list[Any]) -> Fields | None:
    """As `mapping.values` for each of the rows; None where there is no value."""
    if set(map(type, rows)) != {dict}:
        return None
    found: Fields = {}
    for rule in mapping.rules:
        column = _column(rule, rows)
        if column is None or rule.target in BAGS:
            return None
        if not rule.bag:
            found[rule.target] = column
            continue
        bags = found.setdefault(rule.bag, [{} for _ in rows])
        for bag, value in zip(bags, column, strict=True):
            if value is not None:
                bag[rule.key] = value
    if mapping.keeps_all or mapping.custom:
        kept, over = list(map(mapping.kept, rows)), found.get(mapping.bag)
        found[mapping.bag] = (
            kept if over is None else [a | b for a, b in zip(kept, over, strict=True)]
        )
    return found


def _column(rule: Rule, rows: list[Any]) -> list[Any] | None:
    try:
        if rule.name:
            name = rule.name
            column = [row.get(name) for row in rows]
        else:
            column = list(map(rule.pull, rows))
    except UNFIT:
        return None
    if not _has_empty(column):
        return column
    default = None if is_empty(rule.default) else rule.default
    if default is None and rule.required:
        return None
    return [default if is_empty(value) else value for value in column]


def _has_empty(column: list[Any]) -> bool:
    kinds = set(map(type, column))
    if kinds <= {int, float, bool, datetime}:
        return False
    if kinds == {str}:
        return "" in column or any(map(str.isspace, column))
    return True


def _converted(record_type: str, given: Fields) -> Fields | None:
    fields: Fields = {}
    known = RECORD_TYPES[record_type].__struct_fields__
    for name, column in given.items():
        if name not in known:
            return None
        fitted = _fitted(record_type, name, column)
        if fitted is None:
            return None
        fields[name] = fitted
    return fields


def _fitted(record_type: str, name: str, column: list[Any]) -> list[Any] | None:
    kinds, wanted = kinds_of(column), scalar_of(record_type, name)
    if wanted is not None and kinds <= {wanted} and _is_usable(wanted, column):
        return column
    if wanted is datetime and kinds == {str}:
        moments = _moments(column)
        if moments is not None:
            return moments
    convert = converter_of(record_type, name)
    assert convert is not None
    try:
        return [None if value is None else convert(value) for value in column]
    except UNFIT:
        return None


def _is_usable(kind: type, column: Sequence[Any]) -> bool:
    """Whether values of the right type need no change."""
    if kind in (str, bool, dict):
        return True
    there = [value for value in column if value is not None]
    if kind is int:
        return not there or -_MOST_INT < min(there) <= max(there) < _MOST_INT
    if kind is float:
        return all(map(math.isfinite, there))
    return all(value.tzinfo is UTC for value in there)


def _moments(column: list[Any]) -> list[Any] | None:
    """Texts in ISO 8601 with the offset of UTC, as nearly all are; else None."""
    there = column if None not in column else [v for v in column if v is not None]
    if not {text[10:11] for text in there} <= _TIME_MARKS:
        return None
    try:
        found = list(map(datetime.fromisoformat, there))
    except ValueError:
        return None
    if {moment.tzinfo for moment in found} != {UTC}:
        found = list(map(parse_time, there))
    if there is column:
        return found
    moments = iter(found)
    return [None if text is None else next(moments) for text in column]
