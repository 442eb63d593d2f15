"""Rows of a file to unified records, by a layout."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from churnguard.currencies import minor_places
from churnguard.errors import RecordError
from churnguard.records import RECORD_TYPES, AnyRecord, EventRecord, ObjectRecord
from integrations.tabular.cells import reader
from integrations.tabular.headers import WORDS
from integrations.tabular.layout import ColumnUse, Layout

_encoder = msgspec.json.Encoder(order="deterministic")
_INTEGER_FIELDS = frozenset(
    [
        "seats",
        "employees",
        "quantity",
        "failed_attempts",
        "reopen_count",
        "reply_count",
        "message_count",
    ]
)


class RowReader:
    """Makes records of rows; cheap per row, made once per read.

    stream: names objects without a better kind. zone: of times without one.
    """

    def __init__(self, layout: Layout, *, stream: str, zone: str = "UTC") -> None:
        self.layout = layout
        self._stream = stream
        self._struct = RECORD_TYPES[layout.record_type]
        self._is_event = layout.record_type == "event"
        self._fields = [
            (use, self._cell(use, zone))
            for use in layout.columns
            if use.field and not use.after
        ]
        self._after = [
            (use, reader(use.kind, zone))
            for use in layout.columns
            if use.field and use.after
        ]
        self._plain = [
            (use.column, _json_cell(reader(use.kind, zone)))
            for use in layout.columns
            if not use.field
            and use.column not in (layout.id_column, layout.customer_column)
        ]
        self._known = {use.column for use in layout.columns}

    def record(self, row: Mapping[str, Any], customer_id: str | None) -> AnyRecord:
        """The record of one row; customer_id is whose it is. Raises RecordError."""
        values = self._values(row)
        own_id = _text(row.get(self.layout.id_column)) if self.layout.id_column else ""
        if self._is_event:
            return self._event(row, values, own_id, customer_id)
        if not own_id:
            raise RecordError(
                f"The row has no id in “{self.layout.id_column}”."
                if self.layout.id_column
                else "No column identifies the row.",
                code="missing_id",
                field="external_id",
            )
        values.update(external_id=own_id, custom=self._custom(row), raw=dict(row))
        if self.layout.record_type != "customer":
            values["customer_id"] = customer_id
        if self._struct is ObjectRecord:
            values["kind"] = self._stream
        _complete(self.layout.record_type, values, row, self.layout)
        return self._struct(**values)

    def customer_of(self, row: Mapping[str, Any]) -> str:
        """The customer id in the row itself; empty where it has none."""
        return _text(row.get(self.layout.customer_column))

    def _values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for use, cell in self._fields:
            try:
                value = cell(row.get(use.column))
            except RecordError as exc:
                exc.field = use.field
                raise
            if value is not None:
                values[use.field] = value
        for use, cell in self._after:
            start = values.get(use.after)
            minutes = cell(row.get(use.column))
            if start is not None and minutes is not None:
                values[use.field] = start + timedelta(minutes=float(minutes))
        return values

    def _event(
        self,
        row: Mapping[str, Any],
        values: dict[str, Any],
        own_id: str,
        customer_id: str | None,
    ) -> EventRecord:
        at = values.get("timestamp")
        if at is None:
            raise RecordError(
                "The row does not say when it happened.",
                code="missing_timestamp",
                field="timestamp",
            )
        if not own_id:
            own_id = blake2b(_encoder.encode(row), digest_size=16).hexdigest()
        return EventRecord(
            event_id=own_id,
            event=str(values.get("event") or self.layout.event_name or self._stream),
            timestamp=at,
            customer_id=customer_id,
            user_id=values.get("user_id"),
            value=values.get("value"),
            properties=self._custom(row),
        )

    def _custom(self, row: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for column, cell in self._plain:
            value = cell(row.get(column))
            if value is not None:
                found[column] = value
        if len(row) > len(self._known):
            # Columns that came after the layout was made.
            for column in row.keys() - self._known:
                if row[column] not in (None, ""):
                    found[column] = row[column]
        return found

    def _cell(self, use: ColumnUse, zone: str) -> Callable[[Any], Any]:
        read = reader(use.kind, zone)
        words = WORDS.get((self.layout.record_type, use.field))
        if words is not None:
            return _worded(read, words)
        if use.field.endswith("_minor"):
            return _minor(read, 10 ** minor_places(self.layout.currency))
        if use.field.endswith("_pct"):
            return _percent(read, use.scale)
        if use.field in _INTEGER_FIELDS:
            return _whole(read)
        if use.field in ("value", "score"):
            return _float(read)
        if use.field == "currency":
            return _upper(read)
        if use.kind.type in ("datetime", "date", "boolean"):
            return read
        return _string(read)


class Lookup:
    """Id in another file -> customer id, on disk when it is large."""

    def __init__(self) -> None:
        # An unnamed database lives in memory and spills to a temporary file.
        self._db = sqlite3.connect("", check_same_thread=False)
        self._db.execute("CREATE TABLE ref (id TEXT PRIMARY KEY, customer TEXT)")

    def fill(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO ref VALUES (?, ?)", pairs)
        self._db.commit()

    def find(self, ids: Sequence[str]) -> dict[str, str]:
        """The customers of those ids that are known."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ",".join("?" * len(some))
            query = f"SELECT id, customer FROM ref WHERE id IN ({marks})"
            found.update(self._db.execute(query, some))
        return found

    def close(self) -> None:
        self._db.close()


def _complete(
    record_type: str, values: dict[str, Any], row: Mapping[str, Any], layout: Layout
) -> None:
    """Fill in what follows from other fields and has no column of its own."""
    money = any(name.endswith("_minor") for name in values)
    if money and not values.get("currency"):
        values["currency"] = layout.currency
    if record_type == "subscription" and not values.get("status"):
        ended = values.get("ended_at") or values.get("canceled_at")
        if ended is not None and ended <= datetime.now(UTC):
            values["status"] = "canceled"
        elif values.get("is_trial"):
            values["status"] = "trialing"
        else:
            values["status"] = "active"
    if record_type == "ticket":
        if not values.get("status"):
            is_over = values.get("closed_at") or values.get("solved_at")
            values["status"] = "closed" if is_over else "open"
        if values.get("closed_at") and not values.get("solved_at"):
            values["solved_at"] = values["closed_at"]
    if record_type == "survey_response" and "kind" not in values:
        use = layout.column_of("score")
        name = (use.column if use else "").lower()
        kind = next((word for word in ("nps", "csat", "ces") if word in name), "csat")
        values["kind"] = kind
        low, high = (0.0, 10.0) if kind == "nps" else (1.0, 5.0)
        values.setdefault("scale_min", low)
        values.setdefault("scale_max", high)


def _text(value: Any) -> str:
    if value is None or isinstance(value, (dict, list)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _string(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def cell(value: Any) -> Any:
        # The text as written: a code like 0042 or 1e5 is no number.
        if isinstance(value, str):
            return value.strip() or None
        found = read(value)
        return None if found is None else _text(found)

    return cell


def _upper(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    text = _string(read)
    return lambda value: found.upper() if (found := text(value)) else None


def _worded(
    read: Callable[[Any], Any], words: Mapping[str, str]
) -> Callable[[Any], Any]:
    text = _string(read)

    def cell(value: Any) -> Any:
        found = text(value)
        if found is None:
            return None
        plain = found.lower()
        return words.get(plain, plain)

    return cell


def _minor(read: Callable[[Any], Any], factor: int) -> Callable[[Any], Any]:
    return lambda value: (
        None if (found := read(value)) is None else round(float(found) * factor)
    )


def _percent(
    read: Callable[[Any], Any], scale: tuple[float, float] | None
) -> Callable[[Any], Any]:
    low, high = scale or (0.0, 100.0)

    def cell(value: Any) -> Any:
        found = read(value)
        if found is None:
            return None
        return (float(found) - low) / (high - low) * 100.0

    return cell


def _whole(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def cell(value: Any) -> Any:
        found = read(value)
        if found is None:
            return None
        if float(found) != int(float(found)):
            raise RecordError(f"“{value}” is no whole number.", code="bad_integer")
        return int(float(found))

    return cell


def _float(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if (found := read(value)) is None else float(found)


def _json_cell(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A cell nobody maps: typed where it fits, as written where it does not."""

    def cell(value: Any) -> Any:
        try:
            found = read(value)
        except RecordError:
            return value
        return found.isoformat() if isinstance(found, datetime) else found

    return cell
