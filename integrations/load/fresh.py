"""Many events that nobody has sent before: three round trips for a whole group.

The general way asks which keys are new and then stores those events. This one takes
for granted that all are: it copies the keys and the events in one go, and a key that
was there fails the whole of it, so that nothing is stored and the general way decides.
COPY into the key table costs PostgreSQL about half of INSERT .. ON CONFLICT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from psycopg import ClientCursor, Connection, errors

from integrations.load import customers, events, wire
from integrations.load.customers import KnownCustomers, Refs
from integrations.load.events import PreparedEvent
from integrations.load.lots import LoadResult, Lot
from integrations.load.talk import Talk

LEAST = 50
"""Events from which on this is the faster way."""

_LINE = """
INSERT INTO cg_batch (organization_id, source_id, origin, stream, page, fetched,
    inserted, updated, unchanged, duplicate, quarantined, filtered, deleted, bytes,
    events, newest_at, received_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, 0, 0, 0, 0, 0, 0, %s, %s, %s, %s) RETURNING id;
"""
COPY_KEYS = "COPY cg_event_key (key, content) FROM STDIN (FORMAT BINARY)"
_KEY = b"\0\x02\0\0\0\x10"
_CONTENT = b"\0\0\0\x08"
_CHUNK = 1000
_micros = attrgetter("micros")


def write_fresh(
    conn: Connection[Any], lots: Sequence[Lot], *, known: KnownCustomers
) -> list[LoadResult] | None:
    """Store the lots in one transaction, or None where they take the general way.

    None, and nothing stored: other records than prepared events, refusals, a customer
    seen for the first time, an event id that is repeated or stored already.
    conn: in autocommit mode, outside a transaction. Raises psycopg errors;
    CheckViolation means a month without a partition.
    """
    if not all(_is_plain(lot) for lot in lots):
        return None
    cur = wire.open_cursor(conn)
    refs: Refs = {}
    for lot in lots:
        found = customers.find(
            cur,
            source_id=lot.source_id,
            external_ids={e.customer_id for e in lot.items if e.customer_id},
            known=known,
        )
        if found is None:
            return None
        refs |= found
    keys = [
        [events.key_of(lot.source_id, event.event_id) for event in lot.items]
        for lot in lots
    ]
    contents = {
        key: event.content
        for lot, of_lot in zip(lots, keys, strict=True)
        for key, event in zip(of_lot, lot.items, strict=True)
    }
    if len(contents) < sum(len(lot.items) for lot in lots):
        return None
    mogrify = ClientCursor(conn).mogrify
    lines = "".join(mogrify(_LINE, _values(lot)) for lot in lots)
    try:
        with Talk(conn) as talk:
            numbers = talk.ask(f"{lines}{COPY_KEYS};{events.COPY}")
            talk.give(wire.chunks(key_rows(contents)))
            ids = [int(each.get_value(0, 0) or b"") for each in numbers[: len(lots)]]
            rows = _encode(lots, keys, ids, refs)
            first = next(rows)
            talk.hear()
            talk.give(_framed(first, rows))
            talk.hear()
    except errors.UniqueViolation:
        return None
    return [_result(lot, batch_id) for lot, batch_id in zip(lots, ids, strict=True)]


def _is_plain(lot: Lot) -> bool:
    return (
        not (lot.rejects or lot.deleted_ids or lot.filtered or lot.remember_keys)
        and lot.run_id is None
        and bool(lot.items)
        and all(type(item) is PreparedEvent for item in lot.items)
    )


def _values(lot: Lot) -> list[Any]:
    count = len(lot.items)
    newest = max(lot.items, key=_micros).ts
    return [
        lot.org_id,
        lot.source_id,
        lot.origin,
        lot.stream,
        lot.page,
        count,
        count,
        lot.nbytes,
        count,
        newest,
        lot.received_at,
    ]


def key_rows(contents: dict[bytes, bytes]) -> Iterator[bytes]:
    """Rows for `COPY_KEYS`, in the order of the keys, so that two writers cannot wait
    for each other. contents: the content hash of each key."""
    for key in sorted(contents):
        yield b"%b%b%b%b" % (_KEY, key, _CONTENT, contents[key])


def _encode(
    lots: Sequence[Lot], keys: list[list[bytes]], ids: list[int], refs: Refs
) -> Iterator[bytes]:
    """The rows of all lots, some at a time, while the server works on those before."""
    for lot, of_lot, batch_id in zip(lots, keys, ids, strict=True):
        line = events.Line(
            lot.org_id, lot.source_id, batch_id, wire.micros(lot.received_at)
        )
        for start in range(0, len(lot.items), _CHUNK):
            end = start + _CHUNK
            yield b"".join(
                events.encode_rows(of_lot[start:end], lot.items[start:end], line, refs)
            )


def _framed(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield wire.COPY_HEADER + first
    yield from rest
    yield wire.COPY_TRAILER


def _result(lot: Lot, batch_id: int) -> LoadResult:
    count = len(lot.items)
    return LoadResult(
        batch_id=batch_id,
        fetched=count,
        inserted=count,
        updated=0,
        unchanged=0,
        duplicate=0,
        quarantined=0,
        filtered=0,
        deleted=0,
        events=count,
        errors=(),
        repeats=(),
    )
