"""A few events in one statement: one round trip where the general way takes eight.

It serves groups of single-event requests, where round trips are the cost. The ledger's
own CHECK decides whether it was right to: unless each event is either new or a known
repeat, the line does not add up, the statement fails as a whole, and the caller goes
the general way.
"""

from __future__ import annotations

import struct
from typing import Any

from psycopg import errors

from integrations.load import customers, events, wire
from integrations.load.customers import KnownCustomers
from integrations.load.events import PreparedEvent
from integrations.load.lots import LoadResult, Lot

MOST = 200
"""Events up to which this is the faster way."""

_STATEMENT = """
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::timestamptz[], %b::bigint[],
        %b::float8[], %b::text[], %b::text[], %b::text[], %b::jsonb[])
        AS u(key, content, ts, ref, value, name, event_id, user_key, properties)
), new AS (
    INSERT INTO cg_event_key (key, content) SELECT key, content FROM input
    ON CONFLICT DO NOTHING RETURNING key
), line AS (
    INSERT INTO cg_batch (organization_id, source_id, origin, stream, page, fetched,
        inserted, duplicate, updated, unchanged, quarantined, filtered, deleted, bytes,
        events, newest_at, received_at)
    SELECT %s, %s, %s, %s, %s, %s, n.count, %s + (
            SELECT count(*) FROM input JOIN cg_event_key USING (key, content)
        ), 0, 0, 0, 0, 0, %s, n.count, n.newest, %s
    FROM (SELECT count(*), max(ts) AS newest FROM input JOIN new USING (key)) n
    RETURNING id
), stored AS (
    INSERT INTO cg_usage_event (event_key, organization_id, source_id, batch_id,
        customer_source_id, ts, received_at, value, name, event_id, user_key,
        properties)
    SELECT key, %s, %s, line.id, ref, ts, %s, value, name, event_id, user_key,
        properties
    FROM line, input JOIN new USING (key)
)
SELECT line.id, new.key FROM line LEFT JOIN new ON true
"""
_LONG = struct.Struct(">iq")
_DOUBLE = struct.Struct(">id")
_SIZE = struct.Struct(">i")
_NULL = b"\xff\xff\xff\xff"


def write_small(
    cur_or_conn: Any, lot: Lot, *, known: KnownCustomers
) -> LoadResult | None:
    """Store the lot in one statement, or None where it takes the general way.

    None, and nothing stored: too many items, other records than prepared events,
    refusals, a customer or a month seen for the first time, an event id that is stored
    with other content.
    cur_or_conn: in autocommit mode and outside a transaction. Raises psycopg errors.
    """
    if not 0 < len(lot.items) <= MOST or lot.rejects or lot.deleted_ids or lot.filtered:
        return None
    if not all(isinstance(item, PreparedEvent) for item in lot.items):
        return None
    cur = wire.open_cursor(cur_or_conn)
    refs = customers.find(
        cur,
        source_id=lot.source_id,
        external_ids=(e.customer_id for e in lot.items if e.customer_id is not None),
        known=known,
    )
    if refs is None:
        return None
    first: dict[bytes, tuple[int, PreparedEvent, int | None]] = {}
    repeats: list[int] = []
    for index, event in enumerate(lot.items):
        ref = refs.get((lot.source_id, event.customer_id or ""))
        key = events.key_of(lot.source_id, event.event_id)
        before = first.setdefault(key, (index, event, ref))
        if before[0] != index:
            if before[1].content != event.content:
                return None
            repeats.append(index)
    try:
        cur.execute(_STATEMENT, _parameters(lot, first, len(repeats)), binary=True)
    except errors.CheckViolation:
        # Not only new events and repeats, or a month without a partition.
        return None
    found = cur.pgresult
    assert found is not None
    batch_id = int.from_bytes(found.get_value(0, 0) or b"", "big")
    new = {found.get_value(row, 1) for row in range(found.ntuples)}
    repeats += [index for key, (index, _e, _r) in first.items() if key not in new]
    stored = len(lot.items) - len(repeats)
    return LoadResult(
        batch_id=batch_id,
        fetched=len(lot.items),
        inserted=stored,
        updated=0,
        unchanged=0,
        duplicate=len(repeats),
        quarantined=0,
        filtered=0,
        deleted=0,
        events=stored,
        errors=(),
        repeats=tuple(sorted(repeats)),
    )


def _parameters(
    lot: Lot, first: dict[bytes, tuple[int, PreparedEvent, int | None]], repeats: int
) -> list[Any]:
    keys = sorted(first)
    rows = [first[key] for key in keys]
    given = [event for _index, event, _ref in rows]
    return [
        wire.uuid_array(keys),
        wire.int8_array([event.content for event in given]),
        wire.TimeArray(
            wire.array_of(wire.TIMESTAMPTZ, [_LONG.pack(8, e.micros) for e in given])
        ),
        wire.Int8Array(
            wire.array_of(
                wire.INT8,
                [_NULL if ref is None else _LONG.pack(8, ref) for _i, _e, ref in rows],
            )
        ),
        wire.FloatArray(
            wire.array_of(
                wire.FLOAT8,
                [_NULL if e.value is None else _DOUBLE.pack(8, e.value) for e in given],
            )
        ),
        wire.text_array([event.name for event in given]),
        wire.text_array([event.event_id for event in given]),
        wire.text_array([event.user_id for event in given]),
        wire.JsonbArray(
            wire.array_of(
                wire.JSONB,
                [
                    b"%s\x01%s" % (_SIZE.pack(len(e.properties) + 1), e.properties)
                    for e in given
                ],
            )
        ),
        lot.org_id,
        lot.source_id,
        lot.origin,
        lot.stream,
        lot.page,
        len(lot.items),
        repeats,
        lot.nbytes,
        lot.received_at,
        lot.org_id,
        lot.source_id,
        lot.received_at,
    ]
