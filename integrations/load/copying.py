"""Entities that are not stored yet: copied straight into their table.

The general statement finds its row first, compares, and says what it did; for a row
that is not there all of that is known beforehand, and COPY takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from psycopg import Cursor, ProgrammingError, errors

from integrations.load.lots import Entry

EMPTY = {"lines": "[]", "links": "{}"}
"""What a JSON column holds where a record has none."""

_SHARED = (
    "organization_id",
    "source_id",
    "external_id",
    "customer_source_id",
    "created_at",
    "updated_at",
    "source_updated_at",
    "source_version",
    "content_hash",
    "custom",
    "raw",
)
_encoder = msgspec.json.Encoder()


class Owner(NamedTuple):
    """Whose the rows are. refs: as in `customers.Refs`."""

    org_id: int
    source_id: int
    received_at: datetime
    refs: Mapping[tuple[int, str], int]


class Shape(NamedTuple):
    """What a record type has beside the shared columns. names: its columns, which are
    fields of the record; times: places of points in time among them; bags: places and
    names of JSON columns."""

    names: tuple[str, ...]
    times: tuple[int, ...]
    bags: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, columns: Mapping[str, str]) -> Shape:
        """columns: name -> SQL type."""
        places = list(enumerate(columns.items(), len(_SHARED)))
        return cls(
            tuple(columns),
            tuple(at for at, (_name, kind) in places if kind == "timestamptz"),
            tuple((at, name) for at, (name, kind) in places if kind == "jsonb"),
        )


def copy_new(
    cur: Cursor, table: str, shape: Shape, entries: list[Entry], owner: Owner
) -> bool:
    """Store the entries, each id once; False, and nothing stored, where another writer
    has stored one of them meanwhile or a value has a type of its own."""
    names = ", ".join((*_SHARED, *(f'"{name}"' for name in shape.names)))
    # In key order, so that two writers cannot wait for each other.
    ordered = sorted(entries, key=attrgetter("stored_id"))
    try:
        with (
            cur.connection.transaction(),
            cur.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for row in _rows(ordered, shape, owner):
                copy.write_row(row)
    except errors.UniqueViolation:
        return False
    except ProgrammingError as exc:
        if exc.sqlstate is not None:
            raise
        # An object where a text belongs: the general statement takes it as JSON.
        return False
    return True


def _rows(entries: list[Entry], shape: Shape, owner: Owner) -> Iterator[list[Any]]:
    org_id, source_id, received_at, refs = owner
    get = attrgetter("version", "updated_at", *shape.names)
    for entry in entries:
        record = entry.record
        arrived = (received_at + timedelta(microseconds=entry.index)).isoformat()
        version, changed_at, *own = get(record)
        row = [
            org_id,
            source_id,
            entry.stored_id,
            refs.get((source_id, getattr(record, "customer_id", None) or "")),
            arrived,
            arrived,
            None if changed_at is None else changed_at.isoformat(),
            version,
            entry.content,
            entry.custom.decode(),
            entry.raw.decode(),
            *own,
        ]
        for at in shape.times:
            if row[at] is not None:
                row[at] = row[at].isoformat()
        for at, name in shape.bags:
            row[at] = _encoder.encode(row[at]).decode() if row[at] else EMPTY[name]
        yield row
