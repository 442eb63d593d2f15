"""Writing entities in the order of their source, not of their arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from psycopg import Cursor

from churnguard.records import Record
from integrations.load import wire
from integrations.load.copying import Owner, block_of, copy_new
from integrations.load.lots import Block, Entry, NotNewError
from integrations.load.statements import (
    TABLES,
    bury_statement,
    stub_statement,
    upsert_statement,
)

BLOCK_TYPES = frozenset(TABLES) - {"customer", "subscription"}
"""Record types that can come as a block: of a customer the identity is there before,
and of a subscription each change is kept."""

_CHUNK = 5_000
_encoder = msgspec.json.Encoder()

_MANY = 50
"""Entries from which on it pays to ask what is stored before sending them."""
_STORED = """
SELECT external_id, CASE WHEN deleted_at IS NULL THEN content_hash END FROM {table}
WHERE source_id = %s AND external_id = ANY(%s)
"""


class Change(NamedTuple):
    """One row that was written. is_new: it had no values before; old_ref: the
    identity it belonged to before."""

    stored_id: str
    is_new: bool
    ref: int | None
    old_ref: int | None


def upsert(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    *,
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
    stored: Mapping[str, int | None] | None = None,
) -> list[Change]:
    """Write live records (each stored id once); returns what was written.

    stored: `stored_contents` of the entries, where the caller has it already.

    Entries without a change in the answer were older than or equal to what is stored.
    """
    changes: list[Change] = []
    for chunk in _chunked(entries):
        new, changed = _split(cur, record_type, chunk, source_id, stored)
        owner = Owner(org_id, source_id, refs)
        if new and _copy(cur, record_type, new, owner, received_at):
            changes += [
                Change(
                    e.stored_id,
                    True,
                    refs.get((source_id, ref_of(e.record) or "")),
                    None,
                )
                for e in new
            ]
        else:
            changed += new
        if changed:
            cur.execute(
                upsert_statement(record_type),
                _parameters(changed, org_id, source_id, refs, received_at),
            )
            changes += [Change(*row) for row in cur.fetchall()]
    return changes


def _copy(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    owner: Owner,
    received_at: datetime,
) -> bool:
    """Whether the entries were new and are stored."""
    block = block_of(record_type, entries)
    arrived = [
        (received_at + timedelta(microseconds=entry.index)).isoformat()
        for entry in entries
    ]
    try:
        with cur.connection.transaction():
            if not copy_new(cur, block, owner, arrived):
                raise NotNewError
    except NotNewError:
        return False
    return True


def insert(
    cur: Cursor,
    block: Block,
    *,
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
) -> set[int]:
    """Write a block; returns the identities it belongs to. Raises NotNewError."""
    owner = Owner(org_id, source_id, refs)
    arrived = [received_at.isoformat()] * len(block.ids)
    if not copy_new(cur, block, owner, arrived):
        raise NotNewError
    return {refs[source_id, each] for each in set(block.customer_ids) if each}


def bury(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    *,
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
) -> list[Change]:
    """Write tombstones (records with deleted=True, each stored id once).

    An unknown id gets a row without values, so that an older record which arrives
    later does not bring it to life.
    """
    statements = [bury_statement(record_type)]
    if record_type != "customer":
        # An identity is there already: refs were found or created before.
        statements.insert(0, stub_statement(record_type))
    changes: list[Change] = []
    for chunk in _chunked(entries):
        values = _parameters(chunk, org_id, source_id, refs, received_at)
        for statement in statements:
            cur.execute(statement, values)
            changes += [Change(*row) for row in cur.fetchall()]
    return changes


def ref_of(record: Record) -> str | None:
    """The id, inside the source, of the customer a record belongs to."""
    if record.TYPE == "customer":
        return record.external_id
    customer_id: str | None = getattr(record, "customer_id", None)
    return customer_id


def encode_records(entries: list[Entry]) -> str:
    """The parameter `rows` of `staged`."""
    return _encoder.encode([e.record for e in entries]).decode()


def _parameters(
    entries: list[Entry],
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
) -> dict[str, Any]:
    return {
        "org": org_id,
        "source": source_id,
        "received": received_at,
        "rows": encode_records(entries),
        "stored_ids": [e.stored_id for e in entries],
        "content": [e.content for e in entries],
        "refs": [refs.get((source_id, ref_of(e.record) or "")) for e in entries],
        "places": [e.index for e in entries],
    }


def stored_contents(
    cur_or_conn: Any, *, record_type: str, source_id: int, ids: Iterable[str]
) -> dict[str, int | None]:
    """Content hash by stored id; None for a row that is deleted or has no values."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(
        _STORED.format(table=TABLES[record_type]), [source_id, wire.text_array(ids)]
    )
    return dict(cur.fetchall())


def _split(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    source_id: int,
    stored: Mapping[str, int | None] | None,
) -> tuple[list[Entry], list[Entry]]:
    """(new, changed); those stored and alive with the same content are left out. The
    general statement would find that out as well, but after taking in every value and
    locking the rows."""
    if len(entries) < _MANY:
        return [], entries
    if stored is None:
        stored = stored_contents(
            cur,
            record_type=record_type,
            source_id=source_id,
            ids=(e.stored_id for e in entries),
        )
    other = [e for e in entries if stored.get(e.stored_id) != e.content]
    if record_type == "customer":
        # Identities are there already: they were found or created before.
        return [], other
    return (
        [e for e in other if e.stored_id not in stored],
        [e for e in other if e.stored_id in stored],
    )


def _chunked(entries: list[Entry]) -> Iterator[list[Entry]]:
    for start in range(0, len(entries), _CHUNK):
        yield entries[start : start + _CHUNK]


def refs_of(changes: Iterable[Change]) -> set[int]:
    """Identities whose facts changed, before or after."""
    return {ref for change in changes for ref in (change.ref, change.old_ref) if ref}
