"""Between a connector's page and the writer: what the person who set it up asked for.

Entity mappings (another record type), field mappings and data filters, in this order.
Pure: no database; the same page always gives the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from churnguard.errors import ConfigError, RecordError
from churnguard.records import RECORD_TYPES, AnyRecord, EventRecord, Record
from integrations.connectors.base import AnyPage, Reject, RowPage
from integrations.load.lots import Block, Sent

_MISSING = object()
OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "contains", "exists")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the records of one stream are changed.

    record_type: the type they shall have; mapping: anything with a `recipe` and
    `apply(record) -> record` that raises RecordError, or None.
    """

    stream: str
    record_type: str
    filters: Mapping[str, Any] = field(default_factory=dict)
    mapping: Any = None

    @property
    def recipe(self) -> str:
        """Changes whenever the mapping does."""
        return "" if self.mapping is None else str(self.mapping.recipe)


@dataclass(slots=True)
class Shaped:
    """What goes into the writer; items + block + rejects + filtered + unchanged = what
    the page held. rows: what the items were made of, in the same order, where that is
    known. block: new records in one piece, made of block_rows. unchanged: stored ids
    of rows left as they are; stored: see `sifting.Sifted`."""

    items: list[AnyRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    filtered: int = 0
    rows: list[Sent] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    stored: Mapping[str, int | None] | None = None
    block: Block | None = None
    block_rows: Sequence[Sent] = ()


def shape(page: AnyPage, how: Shape) -> Shaped:
    """Apply `how` to a page."""
    rules = filters_for(how.filters, how.stream)
    shaped = Shaped(rejects=list(page.rejects), filtered=page.filtered)
    for record in page.records:
        try:
            changed = _changed(record, how)
        except RecordError as exc:
            shaped.rejects.append(Reject.of(exc, raw_of(record), id_of(record)))
            continue
        if rules and not passes(changed, rules):
            shaped.filtered += 1
        else:
            shaped.items.append(changed)
    return shaped


def shape_rows(page: RowPage, rows: Sequence[Sent], how: Shape) -> Shaped:
    """Apply `how`, which filters nothing, to some rows of a page."""
    shaped = Shaped(filtered=page.filtered)
    for row in rows:
        try:
            record = page.make(row.row)
        except RecordError as exc:
            shaped.rejects.append(page.reject(exc, row.row))
            continue
        try:
            shaped.items.append(_changed(record, how))
        except RecordError as exc:
            shaped.rejects.append(Reject.of(exc, raw_of(record), id_of(record)))
            continue
        shaped.rows.append(row)
    return shaped


def _changed(record: AnyRecord, how: Shape) -> AnyRecord:
    changed = retype(record, how.record_type)
    return changed if how.mapping is None else how.mapping.apply(changed)


def retype(record: AnyRecord, record_type: str) -> AnyRecord:
    """The record as another type: fields both have are kept, others go to custom."""
    if not record_type or record_type == record.TYPE:
        return record
    target = RECORD_TYPES.get(record_type)
    if target is None or isinstance(record, EventRecord):
        raise RecordError(
            f"A {record.TYPE} cannot become a “{record_type}”.", code="bad_entity_type"
        )
    if issubclass(target, EventRecord):
        return _as_event(record)
    names = set(target.__struct_fields__)
    values: dict[str, Any] = {}
    rest = dict(record.custom)
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name in names:
            values[name] = value
        elif value not in (None, "", {}, []):
            rest[name] = msgspec.to_builtins(value)
    values["custom"] = rest
    return target(**values)


def check_filters(filters: Mapping[str, Any]) -> None:
    """Refuse filters that could not be applied. Raises ConfigError."""
    for name, wanted in filters.items():
        if not isinstance(wanted, Mapping):
            continue
        unknown = set(wanted) - set(OPERATORS)
        if unknown:
            raise ConfigError(
                f"data_filters: “{name}” uses {', '.join(sorted(unknown))}; known "
                f"operators are {', '.join(OPERATORS)}.",
                code="invalid_filters",
                fields={"data_filters": f"unknown operator in {name}"},
            )
        if not isinstance(wanted.get("in", []), list):
            raise ConfigError(
                f"data_filters: “in” of “{name}” needs a list of values.",
                code="invalid_filters",
                fields={"data_filters": f"no list in {name}"},
            )


def filters_for(filters: Mapping[str, Any], stream: str) -> dict[str, tuple[Any, bool]]:
    """{field: (wanted, is for this stream by name)} of the filters that concern it.

    A key is "field" (every stream that has the field) or "stream:field".
    """
    found: dict[str, tuple[Any, bool]] = {}
    for key, wanted in filters.items():
        head, colon, tail = key.partition(":")
        if not colon:
            found[key] = (wanted, False)
        elif head == stream:
            found[tail] = (wanted, True)
    return found


def passes(record: AnyRecord, rules: Mapping[str, tuple[Any, bool]]) -> bool:
    """Whether a record meets every rule. A field it lacks fails a rule made for its
    stream and is ignored by a general one."""
    for name, (wanted, by_name) in rules.items():
        value = _value(record, name)
        if value is _MISSING and not by_name and not _asks_exists(wanted):
            continue
        if not _meets(None if value is _MISSING else value, wanted):
            return False
    return True


def raw_of(record: AnyRecord) -> dict[str, Any]:
    """The provider's object of a record; the record itself where none is kept."""
    raw = getattr(record, "raw", None)
    if raw:
        return dict(raw)
    values: dict[str, Any] = msgspec.to_builtins(record)
    return values


def id_of(record: AnyRecord) -> str:
    """external_id, or event_id of an event."""
    return record.event_id if isinstance(record, EventRecord) else record.external_id


def _as_event(record: Record) -> EventRecord:
    at = record.updated_at
    for name in ("occurred_at", "answered_at", "opened_at", "started_at", "issued_at"):
        at = getattr(record, name, None) or at
    if at is None:
        raise RecordError("An event needs a time.", code="missing_timestamp")
    return EventRecord(
        event_id=record.external_id,
        event=getattr(record, "kind", "") or record.TYPE,
        timestamp=at,
        customer_id=getattr(record, "customer_id", None),
        properties=record.raw or record.custom,
    )


def _value(record: AnyRecord, name: str) -> Any:
    source = record.properties if isinstance(record, EventRecord) else record.raw
    found = _dig(source, name)
    if found is _MISSING and not isinstance(record, EventRecord):
        found = _dig(record.custom, name)
    if found is _MISSING and name in record.__struct_fields__:
        found = getattr(record, name)
    return found


def _dig(source: Mapping[str, Any], name: str) -> Any:
    if name in source:
        return source[name]
    at: Any = source
    for part in name.split("."):
        if not isinstance(at, Mapping) or part not in at:
            return _MISSING
        at = at[part]
    return at


def _asks_exists(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and "exists" in wanted


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_holds(value, op, other) for op, other in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_equal(value, other) for other in wanted)
    return _equal(value, wanted)


def _holds(value: Any, operator: str, other: Any) -> bool:
    if operator == "exists":
        return (value not in (None, "")) == bool(other)
    if operator == "eq":
        return _equal(value, other)
    if operator == "ne":
        return not _equal(value, other)
    if operator == "in":
        return any(_equal(value, each) for each in other)
    if operator == "contains":
        return value is not None and str(other).lower() in str(value).lower()
    left, right = _comparable(value, other)
    if left is None or right is None:
        return False
    if operator == "gt":
        return bool(left > right)
    if operator == "gte":
        return bool(left >= right)
    if operator == "lt":
        return bool(left < right)
    return bool(left <= right)


def _equal(value: Any, other: Any) -> bool:
    if value == other and isinstance(value, bool) == isinstance(other, bool):
        return True
    if isinstance(value, bool) or isinstance(other, bool):
        return str(value).lower() == str(other).lower()
    return value is not None and str(value) == str(other)


def _comparable(value: Any, other: Any) -> tuple[Any, Any]:
    numbers = _number(value), _number(other)
    if None not in numbers:
        return numbers
    if value is None or other is None:
        return None, None
    if isinstance(value, datetime):
        value = value.isoformat()
    return str(value), str(other)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
