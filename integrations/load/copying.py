"""Entities that are not stored yet: copied straight into their table.

The general statement finds its row first, compares, and says what it did; for a row
that is not there all of that is known beforehand, and COPY takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from psycopg import Cursor, ProgrammingError, errors

from integrations.load.lots import Block, Entry
from integrations.load.statements import EMPTY, TABLES, columns_of

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
_SOME = 200
"""Rows made ready at once."""
_encoder = msgspec.json.Encoder()


class Owner(NamedTuple):
    """Whose the rows are. refs: as in `customers.Refs`."""

    org_id: int
    source_id: int
    refs: Mapping[tuple[int, str], int]


def copy_new(cur: Cursor, block: Block, owner: Owner, arrived: list[str]) -> bool:
    """Store the records; False where another writer has stored one of them meanwhile
    or a value has a type of its own. The transaction is of no more use then.

    arrived: ISO time of arrival of each record.
    """
    table, columns = TABLES[block.record_type], columns_of(block.record_type)
    names = ", ".join((*_SHARED, *(f'"{name}"' for name in columns)))
    try:
        with cur.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in _rows(block, owner, arrived):
                copy.write_row(row)
    except errors.UniqueViolation:
        return False
    except ProgrammingError as exc:
        if exc.sqlstate is not None:
            raise
        # An object where a text belongs: the general statement takes it as JSON.
        return False
    return True


def block_of(record_type: str, entries: list[Entry]) -> Block:
    """The entries, all of that type and each id once, as a block."""
    names = ("updated_at", "version", *columns_of(record_type))
    rows = map(attrgetter(*names), [entry.record for entry in entries])
    fields = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    fields["customer_id"] = [
        getattr(entry.record, "customer_id", None) for entry in entries
    ]
    return Block(
        record_type=record_type,
        ids=[entry.stored_id for entry in entries],
        contents=[entry.content for entry in entries],
        raws=[entry.raw for entry in entries],
        customs=[entry.custom for entry in entries],
        fields=fields,
    )


def _rows(block: Block, owner: Owner, arrived: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows for COPY, some at a time, while the server works on those before."""
    ids = block.ids
    order: Sequence[int] = range(len(ids))
    # In key order, so that two writers cannot wait for each other.
    if sorted(ids) != ids:
        order = sorted(order, key=ids.__getitem__)
    for start in range(0, len(order), _SOME):
        chosen = order[start : start + _SOME]
        yield from _some_rows(block, owner, arrived, chosen)


def _some_rows(
    block: Block,
    owner: Owner,
    arrived: list[str],
    chosen: Sequence[int],
) -> Iterator[tuple[Any, ...]]:
    def some(column: list[Any] | None) -> list[Any] | None:
        return None if column is None else [column[at] for at in chosen]

    org_id, source_id, refs = owner
    columns = columns_of(block.record_type)
    fields, times = block.fields, [arrived[at] for at in chosen]
    customs, customers = some(block.customs), some(fields.get("customer_id"))
    return zip(
        repeat(org_id),
        repeat(source_id),
        [block.ids[at] for at in chosen],
        repeat(None)
        if customers is None
        else [refs.get((source_id, each or "")) for each in customers],
        times,
        times,
        _texts(some(fields.get("updated_at")), "updated_at", "timestamptz"),
        some(fields.get("version")) or repeat(None),
        [block.contents[at] for at in chosen],
        repeat("{}") if customs is None else map(bytes.decode, customs),
        [block.raws[at].decode() for at in chosen],
        *(_texts(some(fields.get(name)), name, kind) for name, kind in columns.items()),
        strict=False,
    )


def _texts(column: list[Any] | None, name: str, kind: str) -> Iterable[Any]:
    """The values as COPY takes them."""
    if kind == "jsonb":
        empty = EMPTY[name]
        if column is None:
            return repeat(empty)
        return [_encoder.encode(each).decode() if each else empty for each in column]
    if column is None:
        return repeat(None)
    if kind == "timestamptz":
        return msgspec.to_builtins(column)
    return column
