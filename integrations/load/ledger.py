"""The ledger: one line for each lot, committed with what became of it."""

from __future__ import annotations

from dataclasses import replace

from psycopg import Cursor

from integrations.load.lots import LoadResult, Tally

_INSERT_LINE = """
INSERT INTO cg_batch (id, organization_id, source_id, origin, run_id, stream, page,
    fetched, inserted, updated, unchanged, duplicate, quarantined, filtered, deleted,
    bytes, events, newest_at, received_at)
VALUES (coalesce(%s, nextval('cg_batch_id_seq')), %s, %s, %s, %s, %s, %s, %s, %s, %s,
    %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING id
"""


def number(cur: Cursor, tallies: list[Tally]) -> None:
    """Give the lots the ids of their lines before these are written."""
    if not tallies:
        return
    cur.execute(
        "SELECT nextval('cg_batch_id_seq') FROM generate_series(1, %s)", [len(tallies)]
    )
    for tally, (number,) in zip(tallies, cur.fetchall(), strict=True):
        tally.batch_id = number


def keep_line(cur: Cursor, tally: Tally) -> LoadResult:
    """Write the line; returns what it says."""
    lot, result = tally.lot, tally.result()
    line = (
        tally.batch_id or None,
        lot.org_id,
        lot.source_id,
        lot.origin,
        lot.run_id,
        lot.stream,
        lot.page,
        result.fetched,
        result.inserted,
        result.updated,
        result.unchanged,
        result.duplicate,
        result.quarantined,
        result.filtered,
        result.deleted,
        lot.nbytes,
        result.events,
        tally.newest_at,
        lot.received_at,
    )
    ((tally.batch_id,),) = cur.execute(_INSERT_LINE, line).fetchall()
    return replace(result, batch_id=tally.batch_id)
